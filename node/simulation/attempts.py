"""One run of one seed under some faults, and which failure it ended in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from regrove.node.simulation.checks import PropertyViolated
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.simulation import Simulation

Make: TypeAlias = Callable[[Faults], Simulation]  # the world of one seed, with the faults it is to meet
Test: TypeAlias = Callable[[Simulation], object]
ENDS: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, GeneratorExit)


def run_once(make: Make, test: Test, faults: Faults) -> tuple[Simulation, BaseException | None]:
    """Run one seed quietly; return its world and how it failed. A skip and an interrupt go through."""
    __tracebackhide__ = True
    sim = make(faults)
    sim.telling = False
    try:
        with sim:
            test(sim)
    except ENDS:
        raise
    except BaseException as error:
        if type(error).__name__ == "Skipped":
            raise
        return sim, error
    return sim, None


class TooLate(BaseException):
    """A run went on past the time that was left to it: no failure of its own, and nothing that a test would catch."""


def bounded(make: Make, limit: int) -> Make:
    """Worlds as `make` makes them, whose runs end as TooLate soon after `limit` ns of virtual time."""

    def made(faults: Faults) -> Simulation:
        sim = make(faults)
        world = sim.world
        look = world.check_progress

        def check_progress() -> None:
            look()
            if world.clock.now > limit:
                raise TooLate

        world.check_progress = check_progress  # type: ignore[method-assign]  # of this world alone
        return sim

    return made


def signature(error: BaseException) -> tuple[str, str]:
    """Say which failure this is, so that a shrink does not end in another one: its class, and its property or place."""
    if isinstance(error, PropertyViolated):
        return type(error).__name__, error.property
    place = ""
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not module.startswith("regrove."):
            place = f"{module}:{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return type(error).__name__, place
