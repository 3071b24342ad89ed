"""When cores are forked and when not: the manager's decisions about its zygote."""

from __future__ import annotations

from regrove.node.process.budget import SECOND, RestartBudget
from regrove.node.process.core_slot import START_LIMIT, ManagerSettings
from regrove.node.process.manager_events import (
    Begin,
    CoreEnded,
    Finish,
    ForkFailed,
    KillZygote,
    Spawn,
    SpawnZygote,
    StopAsked,
    Tick,
    ZygoteAnswered,
    ZygoteEnded,
    ZygoteRefused,
    ZygoteSilent,
    ZygoteUp,
)
from regrove.node.process.manager_state import EXIT_OK, EXIT_USAGE, ManagerState
from regrove.node.process.zygote_slot import LONG_LIFE, SILENT_LIMIT
from tests.process.stories import NODE, bound, notes, of, quiet

LATER = LONG_LIFE + SECOND


def begun() -> ManagerState:
    state = ManagerState(ManagerSettings(NODE, 7, 2, RestartBudget(3, 30 * SECOND), zygote=True))
    assert quiet(state.decide(0, Begin())) == [SpawnZygote()]
    return state


def forking() -> ManagerState:
    """Both cores forked and bound, the zygote up."""
    state = begun()
    state.decide(0, ZygoteUp())
    for core in (0, 1):
        state.decide(0, bound(core))
    return state


def test_at_boot_the_cores_wait_for_the_zygote_and_are_forked() -> None:
    state = begun()
    assert quiet(state.decide(0, ZygoteUp())) == [Spawn(0, 1, "fork"), Spawn(1, 1, "fork")]


def test_a_zygote_lost_at_boot_is_not_waited_for_twice() -> None:
    state = begun()
    assert quiet(state.decide(0, ZygoteEnded("killed by SIGKILL"))) == [Spawn(0, 1, "fresh"), Spawn(1, 1, "fresh")]
    assert state.zygote.state == "lost"
    due = state.zygote.deadline
    assert due is not None
    assert quiet(state.decide(due, Tick())) == [SpawnZygote()]


def test_a_zygote_that_hangs_in_the_import_is_killed_at_the_limit_of_a_start() -> None:
    state = begun()
    due = state.deadline()
    assert due is not None
    assert quiet(state.decide(due, Tick())) == [KillZygote(look=True)]
    assert of(state.decide(due, ZygoteEnded("killed by SIGKILL")), Spawn)[0] == Spawn(0, 1, "fresh")


def test_a_core_is_replaced_by_a_fork_and_by_a_fresh_process_while_there_is_no_zygote() -> None:
    state = forking()
    assert of(state.decide(LATER, CoreEnded(0, 1, "killed")), Spawn) == [Spawn(0, 2, "fork")]
    state.decide(LATER, ZygoteEnded("killed by SIGKILL"))
    assert of(state.decide(LATER, CoreEnded(1, 1, "killed")), Spawn) == [Spawn(1, 2, "fresh")]
    assert state.zygote.why == "it was killed by SIGKILL"


def test_a_zygote_that_lived_long_is_replaced_at_once_and_one_that_did_not_after_growing_delays() -> None:
    state = forking()
    delays = []
    now = LATER
    for _ in range(3):
        state.decide(now, ZygoteEnded("killed by SIGKILL"))
        due = state.zygote.deadline
        assert due is not None
        delays.append(due - now)
        now = due
        assert of(state.decide(now, Tick()), SpawnZygote)
        state.decide(now, ZygoteUp())
    assert delays[0] == 0
    assert 0 < delays[1] < delays[2]


def test_a_fork_that_fails_ends_in_a_fresh_process_of_the_same_life() -> None:
    state = forking()
    state.decide(LATER, CoreEnded(0, 1, "killed"))
    failed = state.decide(LATER, ForkFailed(0, 2, "fork: Cannot allocate memory"))
    assert quiet(failed) == [Spawn(0, 2, "fresh")]
    assert state.zygote.state == "up"


def test_a_core_whose_fork_fails_after_the_node_was_told_to_stop_is_not_waited_for() -> None:
    state = forking()
    state.decide(LATER, CoreEnded(0, 1, "killed"))
    state.decide(LATER, StopAsked("SIGTERM"))
    state.decide(LATER, CoreEnded(1, 1, "exited with status 0"))
    failed = state.decide(LATER, ForkFailed(0, 2, "the zygote ended"))
    assert of(failed, Finish) == [Finish(EXIT_OK, "stopped: SIGTERM")]
    assert not of(failed, Spawn)


def test_a_core_whose_fork_fails_at_the_limit_of_its_start_begins_its_next_life() -> None:
    state = forking()
    state.decide(LATER, CoreEnded(0, 1, "killed"))
    due = LATER + START_LIMIT
    state.decide(due, Tick())
    assert of(state.decide(due, ForkFailed(0, 2, "the zygote does not answer", silent=True)), Spawn) == [
        Spawn(0, 3, "fresh")
    ]


def test_a_silent_zygote_is_not_asked_again_before_it_has_answered() -> None:
    state = forking()
    state.decide(LATER, CoreEnded(0, 1, "killed"))
    state.decide(LATER, ForkFailed(0, 2, "the zygote is stopped", silent=True))
    assert state.zygote.state == "silent"
    assert of(state.decide(LATER, CoreEnded(1, 1, "killed")), Spawn) == [Spawn(1, 2, "fresh")]
    state.decide(LATER, ZygoteAnswered())
    state.decide(LATER, bound(0, 2))
    assert of(state.decide(LATER, CoreEnded(0, 2, "killed")), Spawn) == [Spawn(0, 3, "fork")]


def test_a_zygote_that_does_not_fork_ahead_is_not_asked_for_a_core_before_it_has_answered() -> None:
    state = forking()
    state.decide(LATER, ZygoteSilent("the zygote is stopped"))
    assert state.zygote.why == "the zygote is stopped"
    assert of(state.decide(LATER, CoreEnded(0, 1, "killed")), Spawn) == [Spawn(0, 2, "fresh")]
    state.decide(LATER, ZygoteAnswered())
    assert of(state.decide(LATER, CoreEnded(1, 1, "killed")), Spawn) == [Spawn(1, 2, "fork")]


def test_a_zygote_silent_for_long_is_killed() -> None:
    state = forking()
    state.decide(0, CoreEnded(0, 1, "killed"))
    state.decide(0, ForkFailed(0, 2, "the zygote is stopped", silent=True))
    state.decide(0, bound(0, 2))
    assert state.deadline() == SILENT_LIMIT
    assert of(state.decide(SILENT_LIMIT, Tick()), KillZygote) == [KillZygote()]


def test_what_does_not_survive_a_fork_means_fresh_processes_and_is_said_once() -> None:
    state = begun()
    actions = state.decide(0, ZygoteUp(unforkable=("a ZeroMQ Context in shop.db",)))
    assert quiet(actions) == [Spawn(0, 1, "fresh"), Spawn(1, 1, "fresh")]
    assert [level for level, event in notes(actions) if event.startswith("zygote unfit")] == ["warning"]
    assert "shop.db" in state.zygote.why
    assert not notes(state.decide(0, bound(0)))


def test_threads_of_the_application_are_named_and_do_not_keep_it_from_forking() -> None:
    state = begun()
    actions = state.decide(0, ZygoteUp(threads=("thread poll of shop.feed",)))
    assert of(actions, Spawn) == [Spawn(0, 1, "fork"), Spawn(1, 1, "fork")]
    assert ("warning", "threads of the application are not in forked cores") in notes(actions)


def test_an_application_that_cannot_be_imported_ends_the_boot_with_the_usage_code() -> None:
    state = begun()
    text = "'shop:app': there is no module 'shop'"
    assert of(state.decide(0, ZygoteRefused(text)), Finish) == [Finish(EXIT_USAGE, text)]


def test_an_application_that_broke_later_only_costs_the_zygote() -> None:
    state = forking()
    state.decide(LATER, ZygoteEnded("killed by SIGKILL"))
    state.decide(LATER, Tick())
    state.decide(LATER, ZygoteRefused("'shop:app': importing shop failed"))
    state.decide(LATER, ZygoteEnded("exited with status 64"))
    assert (state.zygote.state, state.zygote.why) == ("lost", "'shop:app': importing shop failed")
    assert state.finished is None


def test_a_node_told_to_stop_while_its_cores_wait_for_the_zygote_ends_at_once() -> None:
    state = begun()
    assert of(state.decide(1, StopAsked("SIGTERM")), Finish) == [Finish(EXIT_OK, "stopped: SIGTERM")]


def test_a_stopping_node_does_not_replace_its_zygote() -> None:
    state = forking()
    state.decide(1, StopAsked("SIGTERM"))
    assert not of(state.decide(2, ZygoteEnded("killed by SIGKILL")), SpawnZygote)
    assert state.zygote.deadline is None
