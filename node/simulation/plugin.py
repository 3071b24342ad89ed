"""The pytest plugin: its options, one item a seed range or case for each `@simulate`, the judgement of campaigns.

It also fails a test that built a Playbook and never asserted it.
Every pytest run imports this module, so it imports nothing of ours up front but the small ledger. xdist spreads
the items over its workers; what each item reports is added up by the process that started them.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from typing import Any

import pytest

from regrove.node.simulation import ledger

ATTRIBUTE = "__regrove_campaign__"  # set by campaign.simulate
RESULTS = "__regrove_results__"
PROPERTY = "regrove_campaign"
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
        "--sim-audit-every", type=int, default=10, metavar="K", help="audit 1 in K seeds in other processes; 0: none"
    )
    group.addoption("--sim-orders", default=None, metavar="FILE", help=argparse.SUPPRESS)  # of an audit, see auditing/
    group.addoption("--sim-cases", default=None, metavar="DIR", help="where failing cases are kept (.regrove/cases)")
    group.addoption(
        "--sim-shrink", type=float, default=20.0, metavar="SECONDS", help="time to shrink a failing seed; 0: none"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of simulated tests; the process that collects the reports judges campaigns."""
    config.addinivalue_line("markers", "simulated: a test over the seeds of @simulate")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Judge(), "regrove-judge")
    if config.getoption("--sim-search") is not None:
        from regrove.node.core.errors import Misuse
        from regrove.node.simulation.searching import checked

        try:
            checked(config.getoption("--sim-search"))
        except Misuse as problem:
            raise pytest.UsageError(f"--sim-search: {problem}") from None
    if config.getoption("--sim-replay") is not None:
        from regrove.node.core.errors import Misuse
        from regrove.node.simulation.cases import read_case

        try:
            read_case(config.getoption("--sim-replay"))
        except Misuse as problem:
            raise pytest.UsageError(f"--sim-replay: {problem}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each range of seeds."""
    campaign = getattr(metafunc.function, ATTRIBUTE, None)
    if campaign is None:
        return
    from regrove.node.simulation.campaign import HOW, PARAMETER, name_of
    from regrove.node.simulation.cases import cases_in, read_case
    from regrove.node.simulation.failing import Failing

    config = metafunc.config
    folder = config.rootpath / (config.getoption("--sim-cases") or ".regrove/cases")
    how = Failing(
        config.getoption("--sim-shrink"),
        folder,
        config.getoption("--sim-audit"),
        config.getoption("--sim-audit-every") if config.getoption("--sim-audit") else 0,
        orders=config.getoption("--sim-orders"),
        launched_by=launched_by(config),
        root=config.rootpath,
        search=config.getoption("--sim-search"),
    )
    setattr(metafunc.function, HOW, how)
    seed, file = config.getoption("--sim-seed"), config.getoption("--sim-replay")
    test = metafunc.definition.nodeid
    if file is not None:
        replayed = read_case(file)
        cases = [replayed] if replayed.belongs_to(test) else []
    else:
        cases = [case for _, case in cases_in(folder) if seed is None and case.belongs_to(test)]
    ranges = campaign.ranges(seed) if file is None else []
    parts = [*cases, *ranges]
    metafunc.parametrize(PARAMETER, parts, ids=[name_of(part) for part in parts])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run failing cases first; with `--sim-replay` nothing else."""
    cases = [item for item in items if "[case " in item.nodeid and _simulated(item)]
    file = config.getoption("--sim-replay")
    if file is not None and not cases and not hasattr(config, "workerinput"):
        from regrove.node.simulation.cases import read_case

        case = read_case(file)
        raise pytest.UsageError(
            f"{file} is a case of {case.test}, which is not among these tests: run {case.command(file)}"
        )
    if file is not None:
        config.hook.pytest_deselected(items=[item for item in items if item not in cases])
        items[:] = cases
    elif cases:
        items[:] = [*cases, *(item for item in items if item not in cases)]


def launched_by(config: pytest.Config) -> tuple[str, ...]:
    """The options under which an audit starts pytest anew: the same files and settings, one process."""
    options = ["-q", "--rootdir", str(config.rootpath), "-p", "no:cacheprovider"]
    if config.getoption("--sim-search") is not None:
        options += ["--sim-search", config.getoption("--sim-search")]
    if config.inipath is not None:
        options += ["-c", str(config.inipath)]
    if config.pluginmanager.hasplugin("xdist"):
        options += ["-n", "0"]
    return tuple(options)


def _simulated(item: pytest.Item) -> bool:
    return getattr(getattr(item, "function", None), ATTRIBUTE, None) is not None


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
    """Put what a range did into its report."""
    outcome = yield
    results = getattr(getattr(item, "function", None), RESULTS, None)
    if results:
        for result in results.values():
            item.user_properties.append((PROPERTY, result))
        results.clear()
    owed = [debt for owing in ledger.PAGE.get() or () if (debt := owing.debt()) is not None]
    if owed:
        pytest.fail("\n".join(owed), pytrace=False)
    return outcome


class Judge:
    """Adds up what the ranges of each campaign did."""

    def __init__(self) -> None:
        self._campaigns: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what one range did."""
        if report.when != "call":
            return
        for name, result in report.user_properties:
            if name == PROPERTY and isinstance(result, dict):
                self._add(report.nodeid.partition("[")[0], result)

    def _add(self, test: str, result: dict[str, Any]) -> None:
        row = self._campaigns.setdefault(test, {"seeds": 0, "fired": {}, "held": {}, "orders": {}, "passed": []})
        row["seeds"] += result["seeds"]
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
            idle = [what for what, count in row["fired"].items() if not count]
            unseen = [name for name, held in row["held"].items() if not held]
            if idle:
                found.append(
                    f"{test}: enabled and never fired in {row['seeds']} seeds: {', '.join(idle)}; a fault needs "
                    "something to break: run longer, send more there, raise often= or noise=, or take it away"
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
        if self.problems() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell what each campaign did."""
        for test, row in self._campaigns.items():
            if row["orders"]:
                from regrove.node.simulation.orders import told

                terminalreporter.write_line(f"orders of {test}: {told(row['orders'])}")
            for case in row["passed"]:
                terminalreporter.write_line(f"replayed {test}: {case} passes now")
            if row["seeds"] > 1:
                fired = ", ".join(f"{what} {count}" for what, count in row["fired"].items()) or "no faults"
                terminalreporter.write_line(f"simulated {test}: {row['seeds']} seeds; fired: {fired}")
        for problem in self.problems():
            terminalreporter.write_line(f"CAMPAIGN FAILED {problem}", red=True)
