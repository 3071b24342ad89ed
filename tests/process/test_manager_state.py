"""The manager's decisions about its cores, by small stories: events in, actions out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regrove.node.core.ports import PeerCore, PeerGone, StopCore
from regrove.node.process.budget import RETRY_FIRST, RETRY_LAST, SECOND, quarantine_delay
from regrove.node.process.core_slot import START_LIMIT, ManagerSettings
from regrove.node.process.manager_events import (
    Begin,
    CoreEnded,
    CoreNamed,
    CoreOutgrew,
    CoreReported,
    CoreStarted,
    Event,
    Finish,
    Go,
    Kill,
    Note,
    PeerLost,
    Ready,
    Spawn,
    StopAsked,
    Tell,
    Tick,
)
from regrove.node.process.manager_state import STOP_GRACE, ManagerState
from regrove.supervisor.reasons import CoreDown, Shutdown
from tests.process.stories import NODE, OTHER, booted, bound, home, manager, notes, of, peer_view, quiet, seen


def test_at_boot_no_tree_starts_before_every_core_is_bound() -> None:
    state = manager(3)
    assert state.decide(0, Begin()) == [Spawn(0, 1), Spawn(1, 1), Spawn(2, 1)]
    assert of(state.decide(1, bound(0)), Go) == []
    assert of(state.decide(2, bound(2)), Go) == []
    last = state.decide(3, bound(1))
    assert of(last, Go) == [Go(0, (1, 2)), Go(1, (0, 2)), Go(2, (0, 1))]
    assert state.state == "starting"


def test_every_core_knows_every_other_before_it_may_start() -> None:
    state = manager(2)
    state.decide(0, Begin())
    state.decide(0, bound(0))
    actions = quiet(state.decide(0, bound(1)))
    assert actions[:2] == [
        Tell(0, PeerCore(home(1), "ipc://1.1")),
        Tell(1, PeerCore(home(0), "ipc://0.1")),
    ]
    assert actions[-2:] == [Go(0, (1,)), Go(1, (0,))]


def test_the_node_is_ready_once_when_all_cores_have_started() -> None:
    state = manager(2)
    for event in (Begin(), bound(0), bound(1), CoreStarted(1, 1)):
        assert of(state.decide(0, event), Ready) == []
    assert of(state.decide(0, CoreStarted(0, 1)), Ready) == [Ready()]
    assert state.state == "up"
    state.decide(0, CoreEnded(0, 1, "killed by SIGKILL"))
    assert seen(state) == "degraded"
    state.decide(0, bound(0, 2))
    assert of(state.decide(0, CoreStarted(0, 2)), Ready) == []
    assert seen(state) == "up"


def test_a_dead_core_is_replaced_at_once_and_its_peers_hear_of_both_lives() -> None:
    state = booted()
    actions = quiet(state.decide(5, CoreEnded(1, 1, "killed by SIGKILL")))
    gone = PeerGone(home(1), CoreDown(f"core 1 of {NODE} killed by SIGKILL"))
    assert actions == [Tell(0, gone), Spawn(1, 2)]
    assert quiet(state.decide(6, bound(1, 2))) == [
        Tell(0, PeerCore(home(1, 2), "ipc://1.2")),
        Tell(1, PeerCore(home(0), "ipc://0.1")),
        Go(1, (0,)),
    ]
    assert state.cores[1].last_exit == "killed by SIGKILL"


def test_what_an_older_life_says_changes_nothing() -> None:
    state = booted()
    state.decide(5, CoreEnded(1, 1, "killed by SIGKILL"))
    for event in (bound(1), CoreStarted(1, 1), CoreEnded(1, 1, "again"), CoreNamed(1, 1, ("x",))):
        assert state.decide(6, event) == []
    assert state.cores[1].state == "spawning"


def test_a_core_past_its_budget_is_quarantined_and_retried_after_doubling_delays() -> None:
    state = booted(limit=2)
    now = SECOND
    for incarnation in (1, 2):
        assert of(state.decide(now, CoreEnded(1, incarnation, "died")), Spawn) == [Spawn(1, incarnation + 1)]
    assert of(state.decide(now, CoreEnded(1, 3, "died")), Spawn) == []
    assert (state.cores[1].state, state.state) == ("quarantined", "degraded")
    assert state.deadline() == now + RETRY_FIRST
    now += RETRY_FIRST
    assert of(state.decide(now, Tick()), Spawn) == [Spawn(1, 4)]
    state.decide(now, CoreEnded(1, 4, "died"))
    assert state.deadline() == now + 2 * RETRY_FIRST


def test_a_long_life_after_a_quarantine_earns_the_budget_back() -> None:
    state = booted(limit=1)
    state.decide(1, CoreEnded(1, 1, "died"))
    state.decide(1, CoreEnded(1, 2, "died"))
    state.decide(1 + RETRY_FIRST, Tick())
    state.decide(1 + RETRY_FIRST, bound(1, 3))
    state.decide(1 + RETRY_FIRST, CoreStarted(1, 3))
    later = 1 + RETRY_FIRST + 31 * SECOND
    assert of(state.decide(later, CoreEnded(1, 3, "died")), Spawn) == [Spawn(1, 4)]


def test_ends_further_apart_than_the_period_never_quarantine() -> None:
    state = booted(limit=1)
    for life in range(1, 50):
        now = life * 31 * SECOND
        assert of(state.decide(now, CoreEnded(0, life, "died")), Spawn) == [Spawn(0, life + 1)]


def test_every_core_quarantined_ends_the_node_with_70() -> None:
    state = booted(limit=0)
    assert of(state.decide(1, CoreEnded(0, 1, "died")), Finish) == []
    finish = of(state.decide(1, CoreEnded(1, 1, "died")), Finish)
    assert [action.code for action in finish] == [70]
    assert state.decide(2, Tick()) == []


def test_a_core_quarantined_at_boot_does_not_hold_the_others_back() -> None:
    state = manager(2, limit=0)
    state.decide(0, Begin())
    state.decide(0, bound(0))
    assert of(state.decide(0, CoreEnded(1, 1, "killed by SIGKILL")), Go) == [Go(0, ())]


def test_an_application_refused_at_boot_ends_the_node_with_64_and_its_text() -> None:
    state = manager(2)
    state.decide(0, Begin())
    text = "no module named shopp"
    assert state.decide(0, CoreReported(0, 1, "refused", text)) == [Finish(64, text)]


def test_a_core_that_cannot_bind_at_boot_ends_the_node_with_1_and_its_text() -> None:
    state = manager(2)
    state.decide(0, Begin())
    assert state.decide(0, CoreReported(0, 1, "failed", "the port is in use")) == [Finish(1, "the port is in use")]


def test_a_core_that_cannot_bind_later_is_a_failed_life() -> None:
    state = booted()
    state.decide(1, CoreEnded(0, 1, "killed by SIGKILL"))
    assert state.decide(1, CoreReported(0, 2, "failed", "the port is in use")) == []
    assert of(state.decide(1, CoreEnded(0, 2, "exited with status 1")), Spawn) == [Spawn(0, 3)]


def test_an_application_refused_later_is_a_failed_life() -> None:
    state = booted()
    state.decide(1, CoreEnded(0, 1, "killed by SIGKILL"))
    assert state.decide(1, CoreReported(0, 2, "refused", "the file is gone")) == []
    state.decide(1, CoreEnded(0, 2, "exited with status 64"))
    assert state.cores[0].last_exit == "the file is gone (exited with status 64)"


def test_a_core_that_does_not_bind_in_time_is_killed_and_counts_as_ended() -> None:
    state = manager(1)
    state.decide(0, Begin())
    assert state.deadline() == START_LIMIT
    assert of(state.decide(START_LIMIT, Tick()), Kill) == [Kill(0, look=True)]
    state.decide(START_LIMIT, CoreEnded(0, 1, "killed by SIGKILL", "/app/shop.py:3 in <module>"))
    assert "not up within start_kill = 60 s" in str(state.cores[0].last_exit)
    assert str(state.cores[0].last_exit).endswith(" at /app/shop.py:3 in <module>")


def test_a_stop_asks_every_core_and_ends_with_0_when_all_are_gone() -> None:
    state = booted()
    asked = of(state.decide(1, StopAsked("SIGTERM")), Tell)
    assert [tell for tell in asked if isinstance(tell.item, StopCore)] == [
        Tell(core, StopCore(20.0, Shutdown("SIGTERM"))) for core in (0, 1)
    ]
    assert state.state == "stopping"
    state.decide(2, CoreReported(0, 1, "stopped", "stopped"))
    assert of(state.decide(2, CoreEnded(0, 1, "exited with status 0")), Finish) == []
    finish = of(state.decide(3, CoreEnded(1, 1, "exited with status 0")), Finish)
    assert [action.code for action in finish] == [0]


def test_a_core_that_does_not_stop_is_killed_after_the_drain_limit() -> None:
    state = booted(1)
    state.decide(1, StopAsked("SIGTERM"))
    deadline = state.deadline()
    assert deadline == 1 + 20 * SECOND + STOP_GRACE
    assert of(state.decide(deadline, Tick()), Kill) == [Kill(0)]
    assert of(state.decide(deadline, CoreEnded(0, 1, "killed by SIGKILL")), Finish)[0].code == 0


def test_a_second_stop_kills_what_is_left() -> None:
    state = booted()
    state.decide(1, StopAsked("SIGINT"))
    state.decide(1, CoreEnded(0, 1, "exited with status 0"))
    assert of(state.decide(2, StopAsked("SIGINT", now=True)), Kill) == [Kill(1)]
    assert of(state.decide(2, CoreEnded(1, 1, "killed by SIGKILL")), Finish)[0].code == 0


def test_an_orderly_stop_that_is_asked_for_again_goes_on_as_it_was() -> None:
    state = booted()
    deadline = state.deadline() if state.decide(1, StopAsked("regrove stop")) else None
    assert state.decide(2, StopAsked("the program that started it has ended")) == []
    assert state.deadline() == deadline


def test_a_stop_while_cores_boot_or_sit_in_quarantine_ends_too() -> None:
    state = manager(3, limit=0)
    state.decide(0, Begin())
    state.decide(0, bound(0))
    state.decide(0, CoreEnded(1, 1, "died"))
    assert of(state.decide(1, StopAsked("SIGTERM")), Kill) == [Kill(0), Kill(2)]
    state.decide(1, CoreEnded(0, 1, "killed by SIGKILL"))
    assert of(state.decide(1, CoreEnded(2, 1, "killed by SIGKILL")), Finish)[0].code == 0


def test_retries_of_a_quarantine_double_up_to_five_minutes_and_jitter_adds_at_most_half() -> None:
    assert [quarantine_delay(strikes, 0) // SECOND for strikes in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]
    for draw in (0, 1, 2**63, 2**64 - 1):
        assert RETRY_LAST <= quarantine_delay(500, draw) <= RETRY_LAST * 3 // 2


EVENTS = st.one_of(
    st.builds(bound, st.integers(0, 1), st.integers(1, 4)),
    st.builds(CoreStarted, st.integers(0, 1), st.integers(1, 4)),
    st.builds(CoreEnded, st.integers(0, 1), st.integers(1, 4), st.just("died")),
    st.builds(CoreNamed, st.integers(0, 1), st.integers(1, 4), st.just(("n",))),
    st.builds(CoreOutgrew, st.integers(0, 1), st.integers(1, 4), st.just(2), st.just(1)),
    st.builds(StopAsked, st.just("SIGTERM"), st.booleans()),
    st.just(Tick()),
    st.builds(peer_view, st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.booleans()),
    st.builds(PeerLost, st.just(OTHER), st.integers(1, 3), st.just("cut")),
)


@given(st.lists(st.tuples(st.integers(0, 40), EVENTS), max_size=60))
def test_in_any_history_a_core_is_spawned_only_when_none_runs_and_told_only_while_bound(
    history: list[tuple[int, Event]],
) -> None:
    state = manager(2)
    running: dict[int, int] = {}
    ready = 0
    now = 0
    for step, event in [(0, Begin()), *history]:
        now += step * SECOND
        if isinstance(event, CoreEnded) and running.get(event.core) == event.incarnation:
            del running[event.core]
        for action in state.decide(now, event):
            if isinstance(action, Spawn):
                assert action.core not in running
                running[action.core] = action.incarnation
            if isinstance(action, Tell | Go | Kill):
                assert action.core in running
            ready += isinstance(action, Ready)
    assert ready <= 1
    if state.finished is not None and state.finished.code == 0:
        assert not running


def test_a_node_that_is_debugged_waits_for_a_core_for_ever() -> None:
    state = ManagerState(ManagerSettings(NODE, 7, 1, start_limit=None))
    state.decide(0, Begin())
    assert state.deadline() is None


def test_each_step_of_a_core_is_a_line_in_the_log() -> None:
    state = manager(1)
    assert notes(state.decide(0, Begin())) == []
    assert notes(state.decide(0, bound(0))) == []
    assert notes(state.decide(0, CoreStarted(0, 1))) == [("info", "core up"), ("info", "node up")]
    assert notes(state.decide(0, CoreNamed(0, 1, ("x",)))) == [("debug", "names changed")]
    ended = of(state.decide(0, CoreEnded(0, 1, "killed by SIGKILL")), Note)
    assert ended == [Note("warning", "core replaced", {"core": 0, "incarnation": 1, "reason": "killed by SIGKILL"})]
    state.decide(0, bound(0, 2))
    up = of(state.decide(0, CoreStarted(0, 2)), Note)
    assert up == [Note("info", "core up", {"core": 0, "incarnation": 2, "after": "killed by SIGKILL"})]
    assert notes(state.decide(0, StopAsked("SIGTERM"))) == [("info", "node stopping")]
    assert notes(state.decide(0, CoreEnded(0, 2, "exited with status 0"))) == [("info", "core ended")]


def test_the_report_of_one_life_does_not_explain_the_end_of_the_next() -> None:
    state = booted(1)
    state.decide(0, CoreReported(0, 1, "escalated", "the root gave up"))
    state.decide(0, CoreEnded(0, 1, "exited with status 3"))
    assert state.cores[0].last_exit == "the root gave up (exited with status 3)"
    state.decide(0, bound(0, 2))
    state.decide(0, CoreEnded(0, 2, "killed by SIGKILL"))
    assert state.cores[0].last_exit == "killed by SIGKILL"


def test_the_limit_of_a_start_stands_still_while_a_core_waits_for_the_others() -> None:
    state = manager(2)
    state.decide(0, Begin())
    state.decide(SECOND, bound(0))
    assert of(state.decide(START_LIMIT, Tick()), Kill) == [Kill(1, look=True)]
    state.decide(START_LIMIT, CoreEnded(1, 1, "killed by SIGKILL"))
    state.decide(START_LIMIT + SECOND, bound(1, 2))
    assert state.deadline() == START_LIMIT + SECOND + START_LIMIT - SECOND


def test_a_tree_that_is_not_up_within_the_limit_is_killed_and_counts_as_ended() -> None:
    state = manager(1)
    state.decide(0, Begin())
    state.decide(SECOND, bound(0))
    assert of(state.decide(START_LIMIT, Tick()), Kill) == [Kill(0, look=True)]
    state.decide(START_LIMIT, CoreEnded(0, 1, "killed by SIGKILL"))
    assert "its tree was still starting" in str(state.cores[0].last_exit)


def test_a_slow_start_within_the_limit_kills_nothing() -> None:
    state = manager(1)
    state.decide(0, Begin())
    state.decide(START_LIMIT - 2, bound(0))
    assert of(state.decide(START_LIMIT - 1, CoreStarted(0, 1)), Kill) == []
    assert (state.deadline(), seen(state)) == (None, "up")


def test_a_short_life_after_a_late_retry_is_quarantined_again() -> None:
    state = booted(limit=0)
    late = 1000 * SECOND
    state.decide(late, CoreEnded(1, 1, "died"))
    state.decide(late + RETRY_FIRST, Tick())
    actions = state.decide(late + RETRY_FIRST + SECOND, CoreEnded(1, 2, "died"))
    assert notes(actions) == [("error", "core quarantined")]
    assert (state.cores[1].strikes, state.deadline()) == (2, late + SECOND + 3 * RETRY_FIRST)


def test_the_node_is_ready_when_its_last_core_is_up_or_quarantined() -> None:
    state = manager(2, limit=0)
    for event in (Begin(), bound(0), bound(1), CoreStarted(0, 1)):
        assert of(state.decide(0, event), Ready) == []
    assert of(state.decide(0, CoreEnded(1, 1, "died")), Ready) == [Ready()]
    assert state.state == "degraded"


def test_once_stopping_only_the_limit_of_the_stop_is_waited_for() -> None:
    state = booted(2, limit=0)
    state.decide(1, CoreEnded(1, 1, "died"))
    state.decide(2, StopAsked("SIGTERM"))
    assert state.deadline() == 2 + 20 * SECOND + STOP_GRACE
    assert quiet(state.decide(RETRY_LAST * 2, Tick())) == [Kill(0)]
    state.decide(3, StopAsked("SIGTERM", now=True))
    assert state.deadline() is None


def test_a_quarantine_is_an_error_in_the_log_with_the_time_of_the_retry() -> None:
    state = booted(2, limit=0)
    (note,) = of(state.decide(1, CoreEnded(1, 1, "died")), Note)
    assert note == Note("error", "core quarantined", {"core": 1, "incarnation": 1, "reason": "died", "retry_s": 5.0})


def test_stop_now_kills_every_core_without_asking() -> None:
    state = booted()
    actions = state.decide(1, StopAsked("regrove stop --now", now=True))
    assert of(actions, Kill) == [Kill(0), Kill(1)]
    assert of(actions, Tell) == []
    state.decide(2, CoreEnded(0, 1, "killed by SIGKILL"))
    finish = of(state.decide(2, CoreEnded(1, 1, "killed by SIGKILL")), Finish)
    assert finish == [Finish(0, "stopped: regrove stop --now")]
    assert "told to stop at once" in str(state.cores[0].last_exit)


MIB = 1024 * 1024
OUTGREW = "outgrew its memory limit: 130 MiB resident, the limit is 100 MiB"


def test_a_core_over_its_memory_limit_is_drained_and_replaced_with_the_reason() -> None:
    state = booted()
    actions = quiet(state.decide(1, CoreOutgrew(1, 1, 130 * MIB, 100 * MIB)))
    assert actions == [Tell(1, StopCore(20.0, Shutdown(OUTGREW)))]
    assert state.decide(2, CoreOutgrew(1, 1, 131 * MIB, 100 * MIB)) == []
    state.decide(3, CoreReported(1, 1, "stopped", "stopped in order"))
    assert of(state.decide(4, CoreEnded(1, 1, "exited with status 0")), Spawn) == [Spawn(1, 2)]
    assert state.cores[1].last_exit == OUTGREW


def test_a_core_over_its_memory_limit_that_does_not_drain_is_killed_and_replaced() -> None:
    state = booted()
    state.decide(1, CoreOutgrew(1, 1, 130 * MIB, 100 * MIB))
    deadline = state.deadline()
    assert deadline == 1 + 20 * SECOND + STOP_GRACE
    assert of(state.decide(deadline, Tick()), Kill) == [Kill(1)]
    assert of(state.decide(deadline, CoreEnded(1, 1, "killed by SIGKILL")), Spawn) == [Spawn(1, 2)]


def test_a_node_that_stops_while_a_core_is_drained_ends_in_order() -> None:
    state = booted()
    state.decide(1, CoreOutgrew(1, 1, 130 * MIB, 100 * MIB))
    state.decide(2, StopAsked("SIGTERM"))
    assert of(state.decide(3, CoreEnded(0, 1, "exited with status 0")), Finish) == []
    assert of(state.decide(3, CoreEnded(1, 1, "exited with status 0")), Finish)[0].code == 0


def test_why_the_manager_killed_a_core_is_its_last_exit() -> None:
    early = manager(1)
    early.decide(0, Begin())
    early.decide(0, StopAsked("SIGTERM"))
    early.decide(0, CoreEnded(0, 1, "killed by SIGKILL"))
    assert early.cores[0].last_exit == "was killed before its tree started: the node is stopping"
    late = booted(1)
    late.decide(0, StopAsked("SIGTERM"))
    late.decide(30 * SECOND, Tick())
    late.decide(30 * SECOND, CoreEnded(0, 1, "killed by SIGKILL"))
    assert late.cores[0].last_exit == "was killed: it had not stopped within the drain limit"


def test_a_retry_is_in_the_log() -> None:
    state = booted(limit=0)
    state.decide(0, CoreEnded(1, 1, "died"))
    assert of(state.decide(RETRY_FIRST, Tick()), Note) == [Note("info", "core retried", {"core": 1, "strikes": 1})]
