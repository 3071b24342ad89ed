"""`regrove sim run|replay|shrink|diff|soak`: search seeds of an application for failures, without pytest."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from regrove.node.cli.failing import FAILED
from regrove.node.cli.options import UsageProblem, settings_from

if TYPE_CHECKING:
    from regrove.node.simulation.cases import Case
    from regrove.node.simulation.exploring import Found, Search
    from regrove.node.simulation.simulation import Simulation
    from regrove.node.simulation.workers import Progress

F = TypeVar("F", bound=Callable[..., Any])
INTERRUPTED: Final = 130
USUAL: Final = (
    "cut,swizzle,loss,reset,delay,pause,pause-node,slow,crash,crash-node,crash-machine,crash-isolate,disk,spike"
)
LABEL: Final = 28  # letters of an application's name beside the progress bar
SHOWN: Final = 5  # stories printed in full, of failures that differ
NAMED: Final = 20  # seeds that fail alike, by their numbers
DIGITS: Final = 18  # of a seed or a count
MACHINES: Final = 64  # nodes, and cores of each
JUDGED: Final = 25  # seeds: in fewer it says nothing that a kind of fault never fired


@click.group()
def sim() -> None:
    """Run an application in simulation: many seeds, faults drawn from each, a minimal story for what fails."""


def _not_nan(_context: click.Context, _option: click.Parameter, given: float) -> float:
    if given != given:
        raise UsageProblem("--shrink takes seconds such as 20, or 0 for none, got nan")
    return given


def world_options(command: F) -> F:
    """Give a command the options that say what is simulated."""
    for option in reversed(
        (
            click.option("--check", default="", metavar="MODULE:FUNCTION", help="Takes the simulation."),
            click.option("--nodes", type=click.IntRange(1, MACHINES), default=3, show_default=True),
            click.option(
                "--cores", type=click.IntRange(1, MACHINES), default=1, show_default=True, help="On each node."
            ),
            click.option(
                "--faults",
                default=USUAL,
                metavar="KINDS",
                show_default=True,
                help="Such as cut,pause,crash-node; or none.",
            ),
            click.option(
                "--profile", type=click.Choice(["faithful", "hostile"]), default="faithful", show_default=True
            ),
            click.option("--span", default="30s", show_default=True, help="Virtual time of a run without --check."),
            click.option("--search", type=click.Choice(["random", "swarm", "pct", "exhaustive", "portfolio"])),
            click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for `regrove start`."),
            click.option(
                "--shrink",
                "shrink_s",
                type=click.FloatRange(min=0),
                default=20.0,
                show_default=True,
                metavar="SECONDS",
                callback=_not_nan,
            ),
        )
    ):
        command = option(command)
    return command


def _search(app: str, **given: Any) -> Search:
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.clock import passing
    from regrove.node.simulation.exploring import Search, kinds_of

    given["settings"] = tuple(sorted(settings_from(given["settings"]).items()))
    given["search"] = given["search"] or ""
    given["span"] = f"{given['span']}s" if _is_number(given["span"]) else given["span"]
    search = Search(app, **given)
    try:  # whatever is wrong with it is said now, once
        passing(search.span)
        search.build()
        search.world(0, kinds_of(search.faults))
        search.scenario()
    except Misuse as problem:
        raise UsageProblem(str(problem)) from None
    return search


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _real_seconds(option: str, text: str) -> float:
    """Read seconds, or a time such as 10m."""
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.clock import SECOND, duration

    try:
        return duration(float(text) if _is_number(text) else text) / SECOND
    except Misuse:
        raise UsageProblem(f"{option} takes a time such as 90s, 10m or 8h, or seconds, got {text!r}") from None


@sim.command()
@click.argument("app")
@click.option("--seeds", default="100", show_default=True, metavar="COUNT|FIRST-LAST", help="Which seeds.")
@click.option("--resume", is_flag=True, help="Go on behind the seeds that earlier runs of this kind did.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes; one a CPU core unless said.")
@click.option("--audit", type=click.IntRange(min=1), default=None, metavar="K", help="Audit 1 in K seeds, as `diff`.")
@world_options
def run(app: str, seeds: str, resume: bool, workers: int | None, audit: int | None, **given: Any) -> int:
    """Run seeds on all CPU cores; exit 1 when one fails, with its story and a case file."""
    search = _search(app, audit=audit or 0, **given)
    if not resume:
        return _run(search, _seeds(seeds, 0), workers)
    progress = _progress(search)
    with _own(progress):
        return _run(search, _seeds(seeds, progress.next_seed()), workers)


def _run(search: Search, wanted: range, workers: int | None) -> int:
    from regrove.node.simulation.exploring import Found

    found = Found()
    name = search.app if len(search.app) <= LABEL else f"...{search.app[3 - LABEL :]}"
    with click.progressbar(
        length=len(wanted), label=f"{name} seeds {wanted[0]}-{wanted[-1]}", file=sys.stderr, width=0
    ) as bar:
        why, code = _explored(search, iter(wanted), workers, found, wanted[0], lambda part: bar.update(part.seeds))
    if why:
        click.echo(f"{why}; --resume goes on at seed {_progress(search).next_seed()}")
    return _tell(found) or code


@sim.command()
@click.argument("app")
@click.option("--for", "limit", default="1h", show_default=True, metavar="TIME", help="Real time, such as 10m.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes; one a CPU core unless said.")
@world_options
def soak(app: str, limit: str, workers: int | None, **given: Any) -> int:
    """Run new seeds until the time is up or Ctrl-C; always goes on behind those of earlier runs."""
    from regrove.node.simulation.exploring import Found

    seconds = _real_seconds("--for", limit)
    search = _search(app, **given)
    progress = _progress(search)
    with _own(progress):
        end = time.monotonic() + seconds
        first = progress.next_seed()
        found = Found()
        before = "\r" if sys.stderr.isatty() else ""

        def tell(part: Found) -> None:
            for seed, story in part.failed:
                click.echo(f"{before}seed {seed} failed; {story.splitlines()[-1]}", err=True)
            if before:
                click.echo(f"\r{progressed()} ", nl=False, err=True)

        def progressed() -> str:
            return f"{found.seeds} seeds from {first}, {len(found.failed)} failed"

        why, code = _explored(search, _until(end, first), workers, found, first, tell)
    click.echo(f"{before}{progressed()}", err=True)
    if why:
        click.echo(why)
    return _tell(found) or (code if code != INTERRUPTED else 0)  # how a soak ends


def _explored(
    search: Search, seeds: Iterator[int], workers: int | None, found: Found, first: int, tell: Callable[[Found], None]
) -> tuple[str, int]:
    """Add up what seeds show, and keep where to go on; say why it ended early ("": it did not), and the exit code."""
    from regrove.node.core.errors import Misuse, RegroveError
    from regrove.node.simulation import workers as processes

    progress, not_kept = _progress(search), ""
    try:
        with (
            processes.interrupted_by_sigterm(),
            closing(processes.on_all_cores(search, seeds, workers or os.cpu_count() or 1)) as parts,
        ):
            for part in parts:
                found.add(part)
                try:
                    progress.keep(found.next_seed(first))
                except processes.NotKept as problem:
                    not_kept = str(problem)
                tell(part)
    except KeyboardInterrupt as interrupt:
        click.echo(err=True)
        return ": ".join(["interrupted", *map(str, interrupt.args)]), INTERRUPTED
    except Misuse as mistake:
        click.echo(err=True)
        raise UsageProblem(f"the check misuses the simulation: {mistake}") from None
    except RegroveError as problem:
        click.echo(err=True)
        return str(problem), FAILED
    finally:
        if not_kept:
            click.echo(f"\n{not_kept}", err=True)
    return "", 0


def _progress(search: Search) -> Progress:
    from regrove.node.simulation.workers import Progress

    return Progress(search.state, search.app)


@contextmanager
def _own(progress: Progress) -> Iterator[None]:
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.workers import NotKept

    with ExitStack() as stack:
        try:
            stack.enter_context(progress.claimed())
        except (Misuse, NotKept) as problem:
            raise UsageProblem(str(problem)) from None
        yield


def _until(end: float, first: int) -> Iterator[int]:
    for seed in count(first):
        if time.monotonic() >= end:
            return
        yield seed


def _seeds(text: str, after: int) -> range:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first]
    if (
        not all(number.isdecimal() and len(number) <= DIGITS for number in numbers)
        or (dash and int(last) < int(first))
        or (not dash and int(first) == 0)
    ):
        raise UsageProblem(
            f"--seeds takes a count such as 500, or a range such as 1000-1999, of up to {DIGITS} digits, got "
            f"{text[:40]!r}"
        )
    return range(int(first), int(last) + 1) if dash else range(after, after + int(first))


def _tell(found: Found) -> int:
    fired = ", ".join(f"{what} {times}" for what, times in sorted(found.fired.items())) or "no faults"
    click.echo(f"{found.seeds} seeds, {len(found.failed)} failed; fired: {fired}")
    if found.audited:
        click.echo(f"audited: {found.audited} seeds were the same in other processes")
    if found.orders:
        from regrove.node.simulation.orders import told

        click.echo(f"orders: {told(found.orders)}")
    met = sorted(name for name, held in found.held.items() if held)
    if met:
        click.echo(f"reached: {', '.join(met)}")
    problems: list[str] = []
    if found.seeds >= JUDGED:
        problems = [f"{name!r} never held" for name in found.unseen]
        if _chosen("faults"):
            problems = [*(f"{what} never fired" for what in found.idle), *problems]
        elif found.idle:
            click.echo(f"never fired: {', '.join(found.idle)} (they need messages that cross a link, or more to break)")
    for problem in problems:
        click.echo(f"in {found.seeds} seeds {problem}")
    for number, ((_, story), *more) in enumerate(found.kinds_of_failures):
        if number == SHOWN:
            others = sorted(seed for kind in found.kinds_of_failures[SHOWN:] for seed, _ in kind)
            click.echo(f"\nand {_counted(others)} otherwise")
            break
        click.echo(f"\n{story}")
        if more:
            click.echo(f"the same, at the same line, in {_counted([seed for seed, _ in more])}")
    return FAILED if found.failed or problems else 0


def _counted(seeds: list[int]) -> str:
    few = ", ".join(map(str, seeds[:NAMED])) + (f" and {len(seeds) - NAMED} more" if len(seeds) > NAMED else "")
    return f"seed {few}" if len(seeds) == 1 else f"seeds {few}"


def _chosen(option: str) -> bool:
    """Whether the user gave an option, whatever its value."""
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


@sim.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--trace", "trace", type=click.Path(dir_okay=False), help="Write the events here, as JSON lines.")
def replay(file: str, trace: str | None) -> int:
    """Run a case file again and print its story; exit 0 when it passes now."""
    return _again(file, 0.0, trace)


@sim.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--for", "limit", default="120s", show_default=True, metavar="TIME", help="Real time, such as 10m.")
def shrink(file: str, limit: str) -> int:
    """Shrink a case file further, in place."""
    seconds = _real_seconds("--for", limit)
    if not seconds:
        raise UsageProblem(f"--for {limit} leaves no time to shrink in: give some, such as 120s, or `replay` the file")
    return _again(file, seconds, None)


def _again(file: str, seconds: float, trace: str | None) -> int:
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.exploring import text_of, with_printed
    from regrove.node.simulation.failing import ENDS, run_once
    from regrove.node.simulation.story import passes, story
    from regrove.node.simulation.violation import in_a_line
    from regrove.node.simulation.workers import interrupted_by_sigterm

    case, search = _kept(file, seconds)
    if trace is not None:
        _writable(trace, file)
    printed = StringIO()
    try:
        scenario = search.scenario()
        if seconds:
            with interrupted_by_sigterm(), redirect_stdout(printed):
                search.run(case.seed, case.plan, seconds, case=case)
            click.echo(f"seed {case.seed} passes now under the plan of {file}: nothing to shrink")
            return 0
        world, failed = run_once(lambda given: search.world(case.seed, given), scenario, case.plan)
        if isinstance(failed, Misuse):
            raise failed
    except KeyboardInterrupt as interrupt:
        click.echo(": ".join(["interrupted", *map(str, interrupt.args)]))
        return INTERRUPTED
    except ENDS:
        raise
    except Misuse as problem:
        raise UsageProblem(f"{file}: {problem}") from None
    except BaseException as error:
        click.echo(with_printed(text_of(error), printed.getvalue()))
        return FAILED
    if trace is not None:
        _write_trace(world, trace)
    if failed is None:
        click.echo(f"replayed: seed {case.seed} under the plan of {file} {passes(world, case.plan)}")
        return 0
    world.command = f"regrove sim replay {shlex.quote(file)}"
    click.echo(story(world, failed, compared=case.compared(in_a_line(failed), world.trace.digest)))
    return FAILED


def _writable(trace: str, case: str) -> None:
    try:
        Path(trace).touch()
    except OSError as problem:
        raise UsageProblem(f"--trace {trace}: {problem.strerror}") from None
    if Path(trace).samefile(case):
        raise UsageProblem(f"--trace {trace} is the case itself: give another file")


def _write_trace(world: Simulation, trace: str) -> None:
    try:
        with Path(trace).open("w") as out:
            world.trace.write(out)
    except OSError as problem:
        raise UsageProblem(f"--trace {trace}: {problem.strerror}") from None


def _kept(file: str, seconds: float) -> tuple[Case, Search]:
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.cases import read_case
    from regrove.node.simulation.exploring import search_of

    try:
        case = read_case(file)
        if case.of_pytest:
            command = case.command(file, f" --sim-shrink {seconds:g}" if seconds else "")
            raise Misuse(f"this case belongs to a pytest test: run {command}")
        if not (1 <= case.nodes <= MACHINES and 1 <= case.cores <= MACHINES):
            raise Misuse(f"{file}: nodes and cores are from 1 to {MACHINES}, got {case.nodes} and {case.cores}")
        return case, search_of(case, folder=str(Path(file).parent))
    except Misuse as problem:
        raise UsageProblem(str(problem)) from None


@sim.command()
@click.argument("app")
@click.option("--seed", type=int, default=0, show_default=True)
@world_options
def diff(app: str, seed: int, **given: Any) -> int:
    """Audit one seed in two processes under two hash seeds: which lines make them part, and at which event."""
    from regrove.node.simulation.exploring import audit_seeds

    verdict = audit_seeds(_search(app, **given), [seed])[0]
    if verdict.clean:
        click.echo(f"seed {seed} is the same in both: {verdict.digest}")
        return 0
    click.echo(str(verdict))
    return FAILED
