"""One run of one seed under some faults, and which failure it ended in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.checks import PropertyViolated
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.simulation import Simulation

Make: TypeAlias = Callable[[Faults], Simulation]  # the world of one seed, with the faults it is to meet
Test: TypeAlias = Callable[[Simulation], object]
ENDS: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit)
LIMITER = "pytest_timeout"
SKIPS = ("Skipped", "SkipTest")
OUTCOMES = (*SKIPS, "XFailed", "Exit")  # of pytest and unittest: what a test says of itself, no failure


def run_once(make: Make, test: Test, faults: Faults) -> tuple[Simulation, BaseException | None]:
    """Run one seed quietly; return its world and how it failed. Skips, expected failures and interrupts go through."""
    __tracebackhide__ = True
    sim = make(faults)
    sim.telling = False
    try:
        with sim:
            if test(sim) is False:
                raise Misuse("the test returned False, and nobody looks at what it returns: write `assert ...`")
    except ENDS:
        raise
    except BaseException as error:
        if is_outcome(error):
            raise
        return sim, error
    return sim, None


def is_skip(error: BaseException) -> bool:
    """Whether a test says by this that there is nothing to judge here."""
    return is_outcome(error, SKIPS)


def is_outcome(error: BaseException, outcomes: tuple[str, ...] = OUTCOMES) -> bool:
    """Whether a test says by this that it is not to be judged: a skip, an expected failure, the end of all tests."""
    kind = type(error)
    return kind.__name__ in outcomes and kind.__module__.partition(".")[0] in ("_pytest", "builtins", "unittest")


class OutOfTime(AssertionError):
    """A limit of real time struck inside a handler, where it ended an isolate instead of the test."""


def out_of_time_in(sim: Simulation) -> OutOfTime | None:
    """The failure of a run in which an isolate took what pytest-timeout raised for a crash of its own."""
    for line in sim.world.log.lines:
        if f'{LIMITER}.py"' in str(line.get("traceback", "")):
            where = line.get("path", "an isolate")
            return OutOfTime(f"the time limit of pytest-timeout struck in a handler of {where}")
    return None


def is_out_of_time(error: BaseException) -> bool:
    """Whether a limit of real time (pytest-timeout) ended the run: no seed decides that, so it is not run again."""
    if isinstance(error, OutOfTime):
        return True
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "") == LIMITER:
            return True
        trace = trace.tb_next
    return False


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
