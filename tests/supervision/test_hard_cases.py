"""The hard cases of supervision, each as one story that is played in simulation and on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from regrove import Address, Child, NoProcess
from regrove.node.client.errors import CallFailed
from regrove.supervisor.requests import Counts
from tests.supervision import stage as stages
from tests.supervision.application import DEEPEST, DYNAMIC, NESTED, Die, Do, Doomed, Lines, Ping, boss, nested
from tests.supervision.stage import LIMIT, Stage, lines, outcomes


@pytest.fixture(
    scope="module",
    params=["simulated", pytest.param("real", marks=pytest.mark.processes)],
    ids=["in simulation", "on a real node"],
)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One node for all stories: each has a supervisor of its own."""
    with getattr(stages, request.param)() as it:
        yield it


def address(stage: Stage, supervisor: str, child: str) -> Any:
    """Where a child of a supervisor is now; None, or "restarting"."""
    return next(row.address for row in stage.supervisor(supervisor).which_children(LIMIT) if row.id == child)


def gone(stage: Stage, life: Address) -> bool:
    try:
        stage.call(life, Ping(), timeout=LIMIT)
    except CallFailed as failure:
        return failure.reason == NoProcess()
    return False


def test_a_restart_storm_under_one_for_all_with_a_failing_later_sibling(stage: Stage) -> None:
    before = address(stage, "top", "calm")
    stage.send("calm0", Die())
    stage.until(lambda: len(lines(stage, "start calm2")) == 8)
    stage.until(lambda: stage.supervisor("calm").count_children().active == 3)
    assert len(lines(stage, "start calm0")) == len(lines(stage, "start calm1")) == 8
    # At first all but the crashed one are stopped; after each of the six failures the two that were just restarted.
    assert [len(lines(stage, f"stop calm{n}")) for n in range(3)] == [6, 7, 1]
    assert address(stage, "top", "calm") == before


def test_a_storm_that_does_not_end_uses_the_budget_up_and_no_more(stage: Stage) -> None:
    stage.send("wild0", Die())
    stage.until(lambda: address(stage, "top", "wild") is None)
    assert len(lines(stage, "start wild2")) == 1 + 3, "intensity 3: exactly three attempts follow the first start"
    assert stage.call("ledger", Lines("wild"), timeout=LIMIT) == [], "the supervisor above went on"


def test_a_supervisor_killed_in_the_middle_of_its_shutdown_leaves_no_orphan(stage: Stage) -> None:
    killed = stage.supervisor("top").start_child(boss(), LIMIT)
    slow = address(stage, "boss", "slow")
    stage.call("hand", Do("forget", ""))
    stage.send("hand", Do("terminate", "boss"))
    stage.until(lambda: lines(stage, "stop slow"))
    assert outcomes(stage) == [], "it waits for a child that takes an hour to stop"
    assert lines(stage, "stop quick") == ["stop quick"]
    stage.send("hand", Do("kill", "boss"))
    stage.until(lambda: outcomes(stage) == ["Replied"])
    assert killed is not None
    assert gone(stage, killed)
    assert gone(stage, slow)
    assert "boss" not in [row.id for row in stage.supervisor("top").which_children(LIMIT)]


def test_a_shutdown_while_a_retry_loops(stage: Stage) -> None:
    stage.send("loop", Die())
    stage.until(lambda: len(lines(stage, "start loop")) > 20)
    assert address(stage, "retrying", "loop") in ("restarting", None)
    stage.supervisor("top").terminate_child("retrying", LIMIT)
    starts = len(lines(stage, "start loop"))
    assert lines(stage, "stop still") == ["stop still"]
    assert address(stage, "top", "retrying") is None
    assert len(lines(stage, "start loop")) == starts, "nothing is started after the stop"


def test_a_name_is_taken_again_by_the_restarted_child_in_the_same_instant(stage: Stage) -> None:
    stage.call("hand", Do("forget", ""))
    for life in range(20):
        stage.send("hand", Do("watch", "phoenix"))
        stage.until(lambda life=life: len(outcomes(stage)) == 2 * (life + 1))  # type: ignore[misc]
    # At the Down nobody finds the dead life under its name, and a call from there on is answered by the new one.
    assert outcomes(stage)[1::2] == ["new life"] * 20
    assert set(outcomes(stage)[::2]) <= {"free", "new life"}
    assert len(lines(stage, "start phoenix")) == 21, "no restart failed for a name that was still taken"
    for _ in range(20):
        old = stage.call("registrar", Ping(), timeout=LIMIT)
        stage.send("registrar", Die())
        stage.until(lambda old=old: address(stage, "names", "registrar") not in (old, "restarting", None))  # type: ignore[misc]
        assert stage.call("registrar", Ping(), timeout=LIMIT) == address(stage, "names", "registrar")


def test_a_thousand_nested_supervisors_of_intensity_0_start_escalate_and_stop(stage: Stage) -> None:
    stage.send("leaf", Die())
    stage.until(lambda: address(stage, "top", "tower") is None)
    assert len(lines(stage, "start leaf")) == 1, "not one of a thousand supervisors may restart it"
    assert stage.supervisor("top").restart_child("tower", LIMIT) is not None
    assert len(lines(stage, "start leaf")) == 2
    assert isinstance(stage.call("leaf", Ping(), timeout=LIMIT), Address)
    stage.supervisor("top").terminate_child("tower", LIMIT)
    assert lines(stage, "stop leaf") == ["stop leaf"]
    assert NESTED == 1_000


def test_attempts_multiply_per_level(stage: Stage) -> None:
    for depth in range(DEEPEST + 1):
        before = len(lines(stage, "doomed"))
        spec = nested(depth, Child("doomed", Doomed, restart="permanent" if depth else "temporary"), intensity=1)
        # The uppermost is temporary: when it gives up, that is the end.
        if depth:
            spec = type(spec)(spec.id, spec.children, intensity=1, restart="temporary")
        stage.supervisor("towers").start_child(spec, LIMIT)
        stage.until(lambda: stage.supervisor("towers").count_children(LIMIT).specs == 0)
        assert len(lines(stage, "doomed")) - before == 2**depth


def test_ten_thousand_dynamic_children_start_crash_and_stop(stage: Stage) -> None:
    pool = stage.supervisor("pool")
    stage.send("hand", Do("spawn", "pool"))
    stage.until(lambda: pool.count_children(LIMIT) == Counts(DYNAMIC, DYNAMIC, 0, DYNAMIC))
    first = {row.address for row in pool.which_children(LIMIT)}
    stage.send("hand", Do("publish", "members"))
    stage.until(lambda: first.isdisjoint(row.address for row in pool.which_children(LIMIT)))
    stage.until(lambda: pool.count_children(LIMIT) == Counts(DYNAMIC, DYNAMIC, 0, DYNAMIC))
    stage.supervisor("top").terminate_child("pool", LIMIT)
    assert address(stage, "top", "pool") is None
    assert stage.supervisor("top").restart_child("pool", LIMIT) is not None
    assert pool.count_children(LIMIT) == Counts(0, 0, 0, 0)


def test_supervision_works_with_every_mailbox_the_pool_and_the_links_full(stage: Stage) -> None:
    full, old = stage.supervisor("full"), address(stage, "full", "near")
    assert stage.call("hand", Do("fill", "near")) == ["MAILBOX_FULL"]
    stage.pause_core(1)
    try:
        assert stage.call("hand", Do("fill", "far"), timeout=LIMIT) == ["LINK_FULL"]
        stage.call("hand", Do("kill later", "near"), timeout=LIMIT)
        assert stage.call("hand", Do("fill", "heap"), timeout=LIMIT) == ["POOL_EXHAUSTED"]
        stage.until(lambda: address(stage, "full", "near") not in (old, None, "restarting"))
        full.terminate_child("far", LIMIT)
        assert address(stage, "full", "far") is None
        assert full.start_child(Child("more", Doomed, restart="temporary"), LIMIT) is not None
        full.terminate_child("heap", LIMIT)
        assert isinstance(stage.call("near", Ping(), timeout=LIMIT), Address)
    finally:
        stage.resume_core(1)
