"""Where our supervisors differ from OTP's on purpose: what has no test elsewhere, and docs/otp.md names every one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Place, Reason, Reply, Supervisor
from regrove.testing import Simulation

ROOT = Path(__file__).parents[2]


class Stubborn(Isolate):
    """Traps exits and would go on for ever."""

    trap_exits = True

    def handle(self, ctx: Context, message: Any) -> Effect:
        return RECEIVE

    def stop(self, ctx: Context, reason: Reason) -> Effect:
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

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        ctx.send("diary", f"stopped: {reason!r}")
        return super().stop(ctx, reason)


class Diary(Isolate):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.lines.append(message)
        return RECEIVE


def application(child: Child) -> Application:
    def tree(place: Place) -> Supervisor:
        return Supervisor("root", [Child("diary", Diary, name="diary"), Supervisor("boss", [child], name="boss")])

    return Application("deviations", tree=tree)


def test_a_killed_supervisor_takes_children_with_it_that_trap_exits() -> None:
    """OTP: they hear of `killed` and may live on as orphans."""
    with Simulation(application(Child("stubborn", Stubborn, shutdown="infinity")), seed=1) as sim:
        old = sim.find("root/boss/stubborn").address
        sim.kill(sim.find("root/boss"))
        sim.settle()
        assert not sim.send(old, "are you there")
        assert sim.find("root/boss/stubborn").incarnation == 2


def test_no_child_is_ever_unlinked_from_its_supervisor() -> None:
    """OTP: a child that unlinks itself may crash unseen."""
    with Simulation(application(Child("runaway", Runaway)), seed=1) as sim:
        sim.send(sim.find("root/boss/runaway").address, "unlink")
        sim.settle()
        assert sim.find("root/boss/runaway").incarnation == 1
        sim.send(sim.find("root/boss/runaway").address, "crash")
        sim.settle()
        assert sim.find("root/boss/runaway").incarnation == 2


def test_stop_runs_without_trap_exits() -> None:
    """OTP: `terminate` runs only in a process that traps exits."""
    with Simulation(application(Child("polite", Polite)), seed=1) as sim:
        sim.supervisor("root/boss").terminate_child("polite")
        sim.settle()
        assert sim.isolates(Diary)[0].lines == ["stopped: Shutdown(detail=None)"]


def test_every_test_that_the_page_for_otp_users_names_is_there() -> None:
    page = (ROOT / "docs" / "otp.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)`,? `?(test_\w+)`", page)
    assert len(named) >= 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"docs/otp.md names {test} of {file}"
    assert len(named) == page.count("`test_")
