"""Where our supervisors differ from OTP's on purpose (supervision.md 11): one test each, on a simulated node.

docs/otp.md names each of them to people who come from OTP.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regrove import (
    DONE,
    IGNORE,
    RECEIVE,
    Address,
    Application,
    Call,
    Child,
    Context,
    Crash,
    DynamicSupervisor,
    Effect,
    Isolate,
    Place,
    Reason,
    Reply,
    Supervisor,
    WhichChildren,
    message,
)
from regrove.node.client.errors import SupervisorRefused
from regrove.supervisor.requests import Counts, NotFound
from regrove.testing import Simulation
from tests.conformance.corpus import FILE

ROOT = Path(__file__).parents[2]


@message
class Line:
    text: str


class Stubborn(Isolate):
    """Traps exits and would go on for ever."""

    trap_exits = True

    def handle(self, ctx: Context, message: Any) -> Effect:
        return RECEIVE

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        ctx.send("diary", Line("stop"))
        return RECEIVE


class Runaway(Isolate):
    """Unlinks itself from its supervisor, then crashes."""

    def handle(self, ctx: Context, message: Any) -> Effect:
        boss = ctx.whereis("boss")
        assert boss is not None
        ctx.unlink(boss)
        return RECEIVE if message == "unlink" else Reply(1 // 0)


class Polite(Isolate):
    """Does not trap exits, and says that its `stop` ran."""

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Crash("told to")

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        ctx.send("diary", Line(f"stopped: {reason!r}"))
        return DONE


class Curious(Isolate):
    """Asks its own supervisor while that one waits for its start."""

    def start(self, ctx: Context) -> Effect:
        return Call("boss", WhichChildren(), then=self.told)

    def told(self, ctx: Context, outcome: Any) -> Effect:
        ctx.send("diary", Line(type(outcome.value).__name__))
        return RECEIVE


class Shy(Isolate):
    """Ignores its start when it was there before."""

    def start(self, ctx: Context) -> Effect:
        return Call("diary", "how many", then=self.told)

    def told(self, ctx: Context, outcome: Any) -> Effect:
        ctx.send("diary", Line("start"))
        return IGNORE if outcome.value else RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Crash("told to")


class Diary(Isolate):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        if not isinstance(message, Line):
            return Reply(len(self.lines))
        self.lines.append(message.text)
        return RECEIVE


def simulation(*children: Child, **options: Any) -> Simulation:
    """A node with `children` under the supervisor `root/boss`."""

    def tree(place: Place) -> Supervisor:
        boss = Supervisor("boss", children, name="boss", **options)
        pool = DynamicSupervisor("pool", name="pool")
        return Supervisor("root", [Child("diary", Diary, name="diary"), boss, pool])

    return Simulation(Application("deviations", tree=tree), seed=1)


def crash(sim: Simulation, path: str) -> None:
    sim.send(sim.find(path).address, "crash")
    sim.settle()


def reports(sim: Simulation) -> list[dict[str, Any]]:
    return [line for line in sim.logs if line["event"] == "supervisor"]


def diary(sim: Simulation) -> list[str]:
    return sim.isolates(Diary)[0].lines


def refused(call: Callable[[], object]) -> object:
    with pytest.raises(SupervisorRefused) as caught:
        call()
    return caught.value.error


@pytest.mark.parametrize(("pause", "restarted"), [("900ms", False), ("1100ms", True)])
def test_the_window_is_exact_and_does_not_count_whole_seconds(pause: str, restarted: bool) -> None:
    """OTP: a restart 1.1 s ago is still within a period of 1 s, whenever its second began early enough."""
    with simulation(Child("a", Polite), intensity=1, period=1.0, restart="temporary") as sim:
        crash(sim, "root/boss/a")
        sim.run(pause)
        crash(sim, "root/boss/a")
        assert [row.id for row in sim.supervisor("root").which_children()].count("boss") == restarted


def test_an_unknown_call_is_answered() -> None:
    """OTP: it crashes the supervisor."""
    with simulation(Child("a", Polite)) as sim:
        boss = sim.find("root/boss").address
        answer = sim.call(boss, "what can you do")
        assert "serves StartChild, RestartChild" in answer.text
        assert sim.find("root/boss").address == boss


def test_a_child_that_calls_its_own_supervisor_in_start_gets_an_error() -> None:
    """OTP: both wait for each other for ever, or until the call's timeout."""
    with simulation(Child("curious", Curious)) as sim:
        assert diary(sim) == ["CalledInStart"]
        assert sim.find("root/boss/curious").incarnation == 1


def test_a_killed_supervisor_takes_children_with_it_that_trap_exits() -> None:
    """OTP: they hear of `killed` and may live on as orphans."""
    with simulation(Child("stubborn", Stubborn, shutdown="infinity")) as sim:
        old = sim.find("root/boss/stubborn").address
        sim.kill(sim.find("root/boss"))
        sim.settle()
        assert not sim.send(old, "are you there")
        assert sim.find("root/boss/stubborn").incarnation == 2


def test_giving_up_carries_the_last_crash() -> None:
    """OTP: the supervisor exits `shutdown`, and why is in the log only."""
    with simulation(Child("a", Polite), intensity=0) as sim:
        crash(sim, "root/boss/a")
        above = [line for line in reports(sim) if line["child"] == "boss"]
        assert "told to" in str(above[0]["reason"])
        assert sim.find("root/boss/a").incarnation == 2


def test_terminate_child_takes_an_address_on_a_static_supervisor() -> None:
    """OTP: a pid goes with simple_one_for_one only."""
    with simulation(Child("a", Polite), Child("b", Polite)) as sim:
        sim.supervisor("root/boss").terminate_child(sim.find("root/boss/b").address)
        assert [row.address is None for row in sim.supervisor("root/boss").which_children()] == [False, True]


def test_no_child_is_ever_unlinked_from_its_supervisor() -> None:
    """OTP: a child that unlinks itself may crash unseen."""
    with simulation(Child("runaway", Runaway)) as sim:
        sim.send(sim.find("root/boss/runaway").address, "unlink")
        sim.settle()
        assert sim.find("root/boss/runaway").incarnation == 1
        crash(sim, "root/boss/runaway")
        assert sim.find("root/boss/runaway").incarnation == 2


def test_stop_runs_without_trap_exits() -> None:
    """OTP: `terminate` runs only in a process that traps exits."""
    with simulation(Child("polite", Polite)) as sim:
        sim.supervisor("root/boss").terminate_child("polite")
        sim.settle()
        assert diary(sim) == ["stopped: Shutdown(detail=None)"]


@pytest.mark.parametrize(("factory", "killed"), [(Polite, False), (Stubborn, True)])
def test_with_limit_0_stop_runs_and_anything_but_done_is_killed(factory: Any, killed: bool) -> None:
    """OTP: `shutdown => 0` may kill before `terminate` began."""
    with simulation(Child("a", factory, shutdown=0)) as sim:
        before = sim.now
        sim.supervisor("root/boss").terminate_child("a")
        assert sim.now - before < 1_000_000_000
        assert len(diary(sim)) == 1
        assert bool([line for line in reports(sim) if line["context"] == "shutdown_error"]) is killed


def test_a_dynamic_supervisor_has_a_spec_for_each_child_and_counts_each() -> None:
    """OTP: simple_one_for_one has one spec for all, and its `specs` is 1."""
    with simulation() as sim:
        pool = sim.supervisor("root/pool")
        ours, theirs = Child("same", Polite, restart="permanent"), Child("same", Polite, restart="temporary")
        addresses = [pool.start_child(ours), pool.start_child(theirs)]
        assert pool.count_children() == Counts(2, 2, 0, 2)
        assert [pool.get_spec(address) for address in addresses if address is not None] == [ours, theirs]


def test_a_dynamic_supervisor_knows_no_child_that_is_gone() -> None:
    """OTP: terminate_child of a pid that is dead is `ok`, get_childspec answers for any pid. Elixir: `:not_found`."""
    with simulation() as sim:
        pool = sim.supervisor("root/pool")
        address = pool.start_child(Child("a", Polite, restart="temporary"))
        assert isinstance(address, Address)
        pool.terminate_child(address)
        assert refused(lambda: pool.terminate_child(address)) == NotFound()
        assert refused(lambda: pool.get_spec(address)) == NotFound()


def test_a_dynamic_child_that_ignores_its_restart_is_gone() -> None:
    """OTP: simple_one_for_one goes on listing it, as undefined. Elixir: it is removed."""
    with simulation() as sim:
        pool = sim.supervisor("root/pool")
        shy = pool.start_child(Child("shy", Shy))
        assert isinstance(shy, Address)
        sim.send(shy, "crash")
        sim.settle()
        assert diary(sim) == ["start", "start"]
        assert pool.which_children() == ()


def test_which_children_lists_in_start_order() -> None:
    """OTP: the last started first."""
    with simulation(*(Child(id, Polite) for id in "abc")) as sim:
        assert [row.id for row in sim.supervisor("root/boss").which_children()] == ["a", "b", "c"]


def test_the_judge_is_otp_25() -> None:
    """The rules are those of OTP 27; what 25 answers to the scripts is the same."""
    with gzip.open(FILE, "rt") as lines:
        assert next(lines) == "OTP 25\n"


def test_every_test_that_the_page_for_otp_users_names_is_there() -> None:
    page = (ROOT / "docs" / "otp.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)`,? `?(test_\w+)`", page)
    assert len(named) >= 12
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"docs/otp.md names {test} of {file}"
    assert len(named) == page.count("`test_")
