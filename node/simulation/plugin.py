"""The pytest plugin: its options, one item a seed range or case for each `@simulate`, the judgement of campaigns.

It also fails a test that built a Playbook and never asserted it.
Every pytest run imports this module, so it imports nothing of ours up front but the small ledger. xdist spreads
the items over its workers; what each item reports is added up by the process that started them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regrove.node.simulation import ledger

ATTRIBUTE = "__regrove_campaign__"  # set by campaign.simulate
PARAMETER = "regrove_seeds"
STORED: pytest.StashKey[Any] = pytest.StashKey()  # the cases of this run, once they were read
READ: pytest.StashKey[dict[bytes, bytes | str]] = pytest.StashKey()  # their files, for the workers of xdist
NOTES: pytest.StashKey[list[str]] = pytest.StashKey()  # what is said of cases that did not run
PROPERTY = "regrove_campaign"
SETTINGS = ("-p", "-o", "-W", "--override-ini", "--import-mode")
INNERMOST = (
    "only pytest's marks may stand around @simulate; let @given drive a plain test that makes a world of its own for "
    "each example: `with Simulation(app, seed=seed) as sim:`"
)
AUDITED = 10  # 1 in so many seeds, unless said
SEEDS = 8  # of cases that are named in a line
BUGGIFY = "buggify"  # as the plan has it; the simulator is imported where a test needs it
JUDGED = 25  # seeds: in fewer it says nothing that a kind of fault never fired


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of simulated tests."""
    group = parser.getgroup("regrove", "deterministic simulation")
    group.addoption("--sim-seed", type=int, default=None, metavar="N", help="run this seed only")
    group.addoption("--sim-replay", default=None, metavar="FILE", help="run this failing case only")
    group.addoption("--sim-search", default=None, metavar="STRATEGY", help="run each test under it, not under its own")
    group.addoption(
        "--sim-audit", action="store_true", help="run each seed twice, and audit some: they must be the same each time"
    )
    group.addoption(
        "--sim-audit-every",
        type=int,
        default=None,
        metavar="K",
        help="--sim-audit, and 1 in K seeds in other processes (1 in 10 unless said; 0: none)",
    )
    group.addoption("--sim-orders", default=None, metavar="FILE", help=argparse.SUPPRESS)  # of an audit, see auditing/
    group.addoption(
        "--sim-cases",
        default=None,
        metavar="DIR",
        help="where failing cases are kept, from the root of the tests (.regrove/cases)",
    )
    group.addoption(
        "--sim-shrink", type=_seconds, default=20.0, metavar="SECONDS", help="time to shrink a failing seed; 0: none"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"it takes seconds such as 20, or 0 for none, got {text!r}")
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of simulated tests; the process that collects the reports judges campaigns."""
    config.addinivalue_line("markers", "simulated: a test over the seeds of @simulate")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Judge(), "regrove-judge")
    if (config.getoption("--sim-audit-every") or 0) < 0:
        raise pytest.UsageError("--sim-audit-every takes K, to audit 1 in K seeds, or 0 for none")
    if config.getoption("--sim-seed") is not None and config.getoption("--sim-replay") is not None:
        raise pytest.UsageError("--sim-seed and --sim-replay each say what alone is run: give one of them")
    if config.getoption("--sim-search") is not None:
        from regrove.node.core.errors import Misuse
        from regrove.node.simulation.searching import checked

        try:
            checked(config.getoption("--sim-search"))
        except Misuse as problem:
            raise pytest.UsageError(f"--sim-search: {problem}") from None
    if config.getoption("--sim-replay") is not None:
        from regrove.node.core.errors import Misuse

        config.option.sim_replay = os.path.abspath(config.getoption("--sim-replay"))  # a test may change the folder
        try:
            _stored(config)
        except Misuse as problem:
            raise pytest.UsageError(f"--sim-replay: {problem}") from None


def _audits(config: pytest.Config) -> tuple[bool, int]:
    """Whether seeds run twice, and 1 in how many is audited in other processes (0: none)."""
    every: int | None = config.getoption("--sim-audit-every")
    audit = bool(config.getoption("--sim-audit") or every)
    return audit, (AUDITED if every is None else every) if audit else 0


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / (config.getoption("--sim-cases") or ".regrove/cases")


def _stored(config: pytest.Config) -> Any:
    """The cases of this run, read when the first simulated test is met."""
    if STORED not in config.stash:
        from regrove.node.simulation.stored import Stored

        file = config.getoption("--sim-replay")
        given = getattr(config, "workerinput", {}).get(PROPERTY)
        config.stash[STORED] = Stored(_folder(config), None if file is None else Path(file), config.rootpath, given)
    return config.stash[STORED]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each worker of xdist the cases that were there at first: xdist needs the same items of all of them."""
    if READ not in node.config.stash:
        from regrove.node.simulation.kept import contents_of

        node.config.stash[READ] = contents_of(_folder(node.config))
    node.workerinput[PROPERTY] = node.config.stash[READ]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each range of seeds, and one for each case; first, so that other parameters come behind."""
    simulated = getattr(metafunc.function, ATTRIBUTE, None)
    if simulated is None:
        if PARAMETER in metafunc.fixturenames:
            raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {INNERMOST}")
        return
    from regrove.node.simulation.failing import Failing
    from regrove.node.simulation.items import parts_of

    if PARAMETER not in metafunc.fixturenames:
        test = metafunc.definition.nodeid
        raise pytest.Collector.CollectError(f"{test} is in a class: it takes `self, sim`, then its fixtures")
    config = metafunc.config
    simulated.how = Failing(
        config.getoption("--sim-shrink"),
        _folder(config),
        *_audits(config),
        orders=config.getoption("--sim-orders"),
        launched_by=launched_by(config),
        root=config.rootpath,
        search=config.getoption("--sim-search"),
        quiet=lambda: _unheard(config),
    )
    seed, replays = config.getoption("--sim-seed"), config.getoption("--sim-replay") is not None
    cases = _stored(config).of(metafunc.definition.nodeid) if replays or seed is None else []
    parts = parts_of(cases, [] if replays else simulated.campaign.ranges(seed))
    metafunc.parametrize(PARAMETER, parts, ids=[part.name for part in parts])


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Give each case to its own test and parameters; run cases first, with `--sim-replay` nothing else."""
    _choose(config, items)
    yield
    items.sort(key=lambda item: _case(item) is None)


def _choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    simulated = [item for item in items if _simulated(item) is not None]
    if not simulated and config.getoption("--sim-replay") is None:
        return
    from regrove.node.simulation.stored import Candidate

    found = [_item(item) for item in simulated]
    candidates = [
        Candidate(each.test, each.parameters, _case(item)) for each, item in zip(found, simulated, strict=True)
    ]
    stored = _stored(config)
    chosen = stored.chosen(candidates)
    whole = config.getoption("--sim-seed") is None and not any("[" in argument for argument in config.args)
    config.stash[NOTES] = stored.notes(candidates, chosen, whole)
    if config.getoption("--sim-replay") is None:
        dropped = [item for item, stays in zip(simulated, chosen, strict=True) if not stays]
        items[:] = [item for item in items if item not in dropped]
        return
    kept = [item for item, stays in zip(simulated, chosen, strict=True) if stays]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if not kept:
        (case,) = stored.cases
        why = config.stash[NOTES] or [
            f"{case.path} is a case of {case.test}, which is not among these tests: run {case.command(case.path)}"
        ]
        if not hasattr(config, "workerinput"):
            raise pytest.UsageError(*why)
        config.stash[NOTES] = why


def _item(item: pytest.Item) -> Any:
    """An item of a simulated test, as campaigns and cases know it."""
    from regrove.node.simulation.items import Item

    config = item.config
    callspec = item.callspec  # type: ignore[attr-defined]  # of a function that has parameters
    given = {"-c": config.getoption("inifilename"), "--rootdir": config.getoption("rootdir")}
    options = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    test, here = item.nodeid.removesuffix(f"[{callspec.id}]"), config.invocation_params.dir
    return Item(test, callspec.id, callspec.params[PARAMETER].name, config.rootpath, here, tuple(options), item.path)


def _case(item: pytest.Item) -> Any:
    """The case that an item is for; None for other items."""
    return None if (part := _part(item)) is None else part.case


def launched_by(config: pytest.Config) -> tuple[str, ...]:
    """The options under which an audit starts pytest anew: the same files and settings, one process."""
    options = ["-q", "--rootdir", str(config.rootpath), "-p", "no:cacheprovider"]
    if config.getoption("--sim-search") is not None:
        options += ["--sim-search", config.getoption("--sim-search")]
    if config.inipath is not None:
        options += ["-c", str(config.inipath)]
    if config.pluginmanager.hasplugin("xdist"):
        options += ["-n", "0"]
    return (*options, *_settings(config.invocation_params.args))


def _settings(arguments: Sequence[str]) -> list[str]:
    """Of the options of this run those by which a test may be another one: plugins, settings, ways to import."""
    found, following = [], iter(arguments)
    for argument in following:
        if argument in SETTINGS:
            found += [argument, next(following, "")]
        elif argument.startswith(SETTINGS):
            found.append(argument)
    return found


def _simulated(item: pytest.Item) -> Any:
    """What a test under `@simulate` shares with us; None for other tests, and for those that pytest gave no seeds."""
    return None if _part(item) is None else getattr(getattr(item, "function", None), ATTRIBUTE, None)


@contextmanager
def _unheard(config: pytest.Config) -> Generator[None]:
    """Let go what is printed and logged meanwhile: hundreds of runs of a shrink say nothing new."""
    capture = config.pluginmanager.getplugin("capturemanager")
    logging: Any = config.pluginmanager.getplugin("logging-plugin")
    log: Any = getattr(getattr(logging, "report_handler", None), "stream", None)
    said = capture.read_global_capture() if capture is not None and capture.is_globally_capturing() else None
    logged = None if log is None else log.tell()
    try:
        yield
    finally:
        if said is not None:
            capture.read_global_capture()
            sys.stdout.write(said.out)
            sys.stderr.write(said.err)
        if logged is not None:
            log.seek(logged)
            log.truncate()


def _part(item: pytest.Item) -> Any:
    """What an item of a simulated test runs; None for other items, and where a replay has nothing for a test."""
    part = item.callspec.params.get(PARAMETER) if hasattr(item, "callspec") else None
    return part if hasattr(part, "of") else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark simulated tests, so that `-m simulated` selects them."""
    if _simulated(item):
        item.add_marker("simulated")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Open a page for what this test, its fixtures included, has to assert."""
    before = ledger.PAGE.set([])
    try:
        return (yield)
    finally:
        ledger.PAGE.reset(before)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Tell a simulated test which item it is, and put what it did into its report."""
    simulated = _simulated(item)
    if simulated is not None:
        simulated.item = _item(item)
    outcome, parted = None, ""
    try:
        outcome = yield
    except AssertionError as error:
        if type(error).__name__ != "NotDeterministic":
            raise
        parted = str(error)  # it says where: how it was found out says nothing
    except Exception as error:
        if simulated is None or not _of_no_line(error):
            raise
        file, line, _ = item.location
        parted = "\n".join([f"{file}:{(line or 0) + 1}: {error}", *getattr(error, "__notes__", ())])
    finally:
        if simulated is not None:
            item.user_properties += [(PROPERTY, result) for result in simulated.results]
            simulated.results.clear()
    if parted:
        pytest.fail(parted, pytrace=False)
    owed = [debt for owing in ledger.PAGE.get() or () if (debt := owing.debt()) is not None]
    if owed:
        pytest.fail("\n".join(owed), pytrace=False)
    return outcome


def _of_no_line(error: Exception) -> bool:
    """Whether @simulate or a case was refused before any line of the test ran: there is none to show."""
    from regrove.node.core.errors import Misuse
    from regrove.node.simulation.violation import origin

    return isinstance(error, Misuse) and not origin(error)


@pytest.hookimpl(optionalhook=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the process that started this worker of xdist what is said of cases."""
    if hasattr(session.config, "workeroutput"):
        notes = session.config.stash.get(NOTES, ())
        # a name of a file may be no text, which no worker could send: all that workers say would be gone with it
        session.config.workeroutput[PROPERTY] = [note.encode(errors="backslashreplace").decode() for note in notes]


def _told(row: dict[str, Any]) -> str:
    failed = f", {len(row['failed'])} failed" if row["failed"] else ""
    fired = ", ".join(f"{what} {count}" for what, count in sorted(row["fired"].items())) or "no faults"
    met = ", ".join(name for name, held in sorted(row["held"].items()) if held)
    seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
    return f"{seeds}{failed}; fired: {fired}{f'; reached: {met}' if met else ''}"


def _mend(idle: list[str]) -> str:
    """How kinds that never fired come to fire."""
    ways = ["buggify needs a ctx.buggify(...) that the application comes by"] if BUGGIFY in idle else []
    if idle != [BUGGIFY]:
        ways.append(
            "a fault needs something to break: run longer, send more there, raise often= or noise=, or take it away"
        )
    return "; ".join(ways)


def _same(row: dict[str, Any]) -> str:
    """Say how many seeds of a campaign were audited; "": none was, or it parted, which a failure tells."""
    how = [f"{row['twice']} twice in one process"] if row["twice"] else []
    how += [f"{row['audited']} in other processes"] if row["audited"] else []
    return f"seeds run again: {' and '.join(how)}, all the same" if how and not row["parted"] else ""


def _pass_now(passed: list[dict[str, Any]]) -> str:
    """Say of the kept cases of a test that they pass; of many in one line."""
    if len(passed) == 1:
        (case,) = passed
        return f"case {case['seed']} ({case['file']}) {case['told']}"
    missed = [case for case in passed if case["told"] != "passes now"]
    unmet = f"; in {_seeds(missed)} a fault strikes nothing any more: --sim-replay FILE names it" if missed else ""
    return f"{len(passed)} kept cases pass now ({_seeds(passed)}): delete those you need no longer{unmet}"


def _seeds(cases: list[dict[str, Any]]) -> str:
    seeds = sorted({case["seed"] for case in cases})
    return ", ".join(map(str, seeds[:SEEDS])) + (" ..." if len(seeds) > SEEDS else "")


class Judge:
    """Adds up what the ranges of each campaign did."""

    def __init__(self) -> None:
        self._campaigns: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what one range did."""
        if report.when != "call":
            return
        for name, result in report.user_properties:
            if name == PROPERTY and isinstance(result, dict):
                self._add(result)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker of xdist has to say of cases; each of them says the same."""
        self.notes.update(dict.fromkeys(getattr(node, "workeroutput", {}).get(PROPERTY, ())))

    def _add(self, result: dict[str, Any]) -> None:
        counts = {"seeds": 0, "twice": 0, "audited": 0, "parted": 0}
        empty = {**counts, "failed": [], "fired": {}, "held": {}, "orders": {}, "passed": []}
        row = self._campaigns.setdefault(result["test"], empty)
        for what in counts:
            row[what] += result[what]
        row["failed"] += result["failed"]
        row["passed"] += result["passed"]
        for what, count in result["fired"].items():
            row["fired"][what] = row["fired"].get(what, 0) + count
        for what, count in result["orders"].items():
            row["orders"][what] = row["orders"].get(what, 0) + count
        for name, held in result["held"].items():
            row["held"][name] = row["held"].get(name, False) or held

    def problems(self) -> list[str]:
        """What enabled kinds never fired and what was never seen, in campaigns long enough to say so."""
        found = []
        for test, row in self._campaigns.items():
            if row["seeds"] < JUDGED:
                continue
            idle = sorted(what for what, count in row["fired"].items() if not count)
            unseen = sorted(name for name, held in row["held"].items() if not held)
            if idle:
                found.append(
                    f"{test}: enabled and never fired in {row['seeds']} seeds: {', '.join(idle)}; {_mend(idle)}"
                )
            if unseen:
                found.append(
                    f"{test}: never held in {row['seeds']} seeds: {', '.join(unseen)}; run more seeds or "
                    "stronger faults, or take the `sometimes` away"
                )
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A campaign that did not do what it says fails the run."""
        self.notes.update(dict.fromkeys(session.config.stash.get(NOTES, ())))
        if self.problems() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell what each campaign did."""
        for test, row in self._campaigns.items():
            if row["orders"]:
                from regrove.node.simulation.orders import told

                terminalreporter.write_line(f"orders of {test}: {told(row['orders'])}")
            if row["passed"]:
                terminalreporter.write_line(f"replayed {test}: {_pass_now(row['passed'])}")
            if row["seeds"] > 1 or 0 in row["fired"].values():  # a fault by hand that struck nothing is no test
                terminalreporter.write_line(f"simulated {test}: {_told(row)}")
            if audited := _same(row):
                terminalreporter.write_line(f"audited {test}: {audited}")
        for note in self.notes:
            terminalreporter.write_line(f"case {note}", yellow=True)
        for problem in self.problems():
            terminalreporter.write_line(f"CAMPAIGN FAILED {problem}", red=True)
