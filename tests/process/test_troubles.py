"""What the manager makes of the watchdog's verdicts, and its policies for cores that end too often."""

from __future__ import annotations

import pytest

from regrove.node.process.budget import SECOND, Policy, RestartBudget
from regrove.node.process.core_slot import ManagerSettings
from regrove.node.process.manager_events import (
    Action,
    Begin,
    CoreEnded,
    CoreHalted,
    CoreOutgrew,
    CoreResumed,
    CoreSlow,
    CoreStalled,
    CoreStarted,
    CoreStarved,
    DivertListeners,
    Finish,
    Kill,
    Note,
    ReviveAsked,
    Spawn,
    StopAsked,
    Tell,
    Tick,
)
from regrove.node.process.manager_state import EXIT_QUARANTINED, MIB, ManagerState
from tests.process.stories import NODE, booted, bound, manager, notes, of, quiet, seen

PLACE = "/app/shop.py:7 in handle"


def stalled(core: int = 0, incarnation: int = 1, fatal: bool = True) -> CoreStalled:
    return CoreStalled(core, incarnation, 5 * SECOND, PLACE, "the stack", fatal=fatal)


def with_policy(policy: Policy) -> ManagerState:
    state = ManagerState(ManagerSettings(NODE, 7, 2, RestartBudget(0, 30 * SECOND), quarantine=policy))
    state.decide(0, Begin())
    for core in range(2):
        state.decide(0, bound(core))
    for core in range(2):
        state.decide(0, CoreStarted(core, 1))
    return state


def test_a_stalled_core_is_killed_and_its_exit_names_the_line() -> None:
    state = booted()
    out = state.decide(SECOND, stalled())
    assert of(out, Kill) == [Kill(0)]
    (note,) = of(out, Note)
    assert (note.event, note.fields["stack"], note.fields["where"]) == ("core stalled", "the stack", PLACE)
    state.decide(SECOND, CoreEnded(0, 1, "killed by SIGKILL"))
    assert state.cores[0].last_exit == f"stalled: no progress for 5.0 s at {PLACE}"


def test_a_core_that_stalls_while_the_node_stops_does_not_hold_it_until_the_drain_limit() -> None:
    state = booted(1)
    state.decide(0, StopAsked("SIGTERM"))
    assert of(state.decide(5 * SECOND, stalled(fatal=False)), Kill) == []
    assert of(state.decide(6 * SECOND, stalled()), Kill) == [Kill(0)]
    assert of(state.decide(7 * SECOND, CoreEnded(0, 1, "killed by SIGKILL")), Finish)
    assert state.cores[0].last_exit == f"stalled: no progress for 5.0 s at {PLACE}"


def test_a_core_that_stalls_after_it_outgrew_its_memory_says_both() -> None:
    state = booted()
    state.decide(0, CoreOutgrew(0, 1, 600 * MIB, 512 * MIB))
    assert of(state.decide(6 * SECOND, stalled()), Kill) == [Kill(0)]
    state.decide(7 * SECOND, CoreEnded(0, 1, "killed by SIGKILL"))
    exit_reason = state.cores[0].last_exit
    assert exit_reason is not None
    assert exit_reason.startswith("outgrew its memory limit: 600 MiB resident")
    assert exit_reason.endswith(f"; stalled: no progress for 5.0 s at {PLACE}")


def test_a_verdict_on_an_older_life_changes_nothing() -> None:
    state = booted()
    state.decide(SECOND, CoreEnded(0, 1, "died"))
    assert state.decide(SECOND, stalled()) == []


def test_a_core_that_starts_or_stops_is_not_killed_for_standing_still() -> None:
    state = manager(1)
    state.decide(0, Begin())
    state.decide(0, bound(0))
    assert of(state.decide(SECOND, stalled()), Kill) == []


def test_connections_are_diverted_while_a_core_stands_still_and_come_back_when_it_goes_on() -> None:
    state = booted()
    assert of(state.decide(SECOND, stalled(fatal=False)), DivertListeners) == [DivertListeners(0, away=True)]
    assert state.cores[0].troubles.stalled_at == PLACE
    assert of(state.decide(SECOND, CoreResumed(0, 1, 2 * SECOND)), DivertListeners) == [DivertListeners(0, away=False)]
    assert state.cores[0].troubles.stalled_at == ""


def test_a_slow_place_is_written_once_and_then_at_most_every_10_s_with_a_count() -> None:
    state = booted()
    slow = CoreSlow(0, 1, 50_000_000, PLACE, "the stack")
    written: list[Action] = []
    for second in range(25):
        written += state.decide(second * SECOND, slow)
    fields = [note.fields for note in of(written, Note)]
    assert [(row.get("stack"), row.get("times_since")) for row in fields] == [("the stack", None), (None, 9), (None, 9)]
    assert state.cores[0].troubles.slow == 25
    assert notes(state.decide(25 * SECOND, CoreSlow(1, 1, 50_000_000, "/app/other.py:1 in handle"))) == [
        ("warning", "slow handler")
    ]


def test_hunger_is_reported_and_nothing_is_killed() -> None:
    state = booted()
    out = state.decide(SECOND, CoreStarved(0, 1, 0.8))
    assert (notes(out), quiet(out)) == ([("warning", "core starves")], [])
    assert state.cores[0].troubles.starved == 0.8
    assert notes(state.decide(SECOND, CoreStarved(0, 1, 0.0))) == [("info", "core starves no longer")]


def test_a_stopped_process_is_reported_and_killed_only_when_it_stays_so() -> None:
    state = booted()
    assert quiet(state.decide(SECOND, CoreHalted(0, 1))) == []
    assert state.cores[0].troubles.halted
    assert of(state.decide(31 * SECOND, CoreHalted(0, 1, long=True)), Kill) == [Kill(0)]
    state.decide(32 * SECOND, CoreEnded(0, 1, "killed by SIGKILL"))
    assert "stopped (SIGSTOP) for 30 s" in str(state.cores[0].last_exit)


def test_with_stay_a_quarantined_core_waits_for_revive() -> None:
    state = with_policy("stay")
    state.decide(SECOND, CoreEnded(1, 1, "died"))
    assert (state.cores[1].state, state.deadline()) == ("quarantined", None)
    assert of(state.decide(1000 * SECOND, Tick()), Spawn) == []
    assert [spawn.core for spawn in of(state.decide(1001 * SECOND, ReviveAsked()), Spawn)] == [1]


def test_with_exit_the_node_stops_in_order_and_ends_with_70() -> None:
    state = with_policy("exit")
    out = state.decide(SECOND, CoreEnded(1, 1, "died"))
    assert [tell.core for tell in of(out, Tell)][-1] == 0
    assert seen(state) == "stopping"
    (finish,) = of(state.decide(2 * SECOND, CoreEnded(0, 1, "exited with status 0")), Finish)
    assert (finish.code, "core 1 is quarantined: died" in finish.why) == (EXIT_QUARANTINED, True)


@pytest.mark.parametrize("policy", ["retry", "stay", "exit"])
def test_when_every_core_is_quarantined_the_node_ends_with_70(policy: Policy) -> None:
    state = with_policy(policy)
    out = state.decide(SECOND, CoreEnded(1, 1, "died")) + state.decide(SECOND, CoreEnded(0, 1, "died"))
    assert [finish.code for finish in of(out, Finish)] == [EXIT_QUARANTINED]


def test_revive_gives_a_clean_sheet_to_the_core_it_names_only() -> None:
    state = ManagerState(ManagerSettings(NODE, 7, 3, RestartBudget(1, 30 * SECOND)))
    state.decide(0, Begin())
    for core in range(3):
        state.decide(0, bound(core))
    for life in (1, 2):
        for core in (0, 1):
            state.decide(life, CoreEnded(core, life, "died"))
    assert [slot.state for slot in state.cores[:2]] == ["quarantined", "quarantined"]
    assert [spawn.core for spawn in of(state.decide(SECOND, ReviveAsked(1)), Spawn)] == [1]
    assert (state.cores[1].strikes, state.cores[1].restarts, state.cores[0].state) == (0, [], "quarantined")
    assert of(state.decide(2 * SECOND, CoreEnded(1, 3, "died")), Spawn) != []  # the budget began anew
