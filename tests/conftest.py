"""What every test shares: reproducible hypothesis, the long campaigns, and how much of each campaign ran.

A test tells the end of a long run more with `record_property("table", (title, text))`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run and no limit on time: a test may depend neither on luck nor on the machine's speed.
settings.register_profile("short", derandomize=True, deadline=None)
settings.register_profile("long", derandomize=False, deadline=None, max_examples=2_000, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long campaigns in full (.ci/run --long)")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="part of the long campaigns: pytest --long")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)


@pytest.fixture
def campaign(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., range]:
    """Give `campaign(name, short=500, long=10_000)`: the seeds to run now, which the end of the run accounts for."""

    def seeds(name: str, *, short: int, long: int) -> range:
        count = long if request.config.getoption("--long") else short
        record_property("campaign", (name, count, long))
        return range(count)

    return seeds


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows: dict[str, list[int]] = {}
    tables: list[tuple[str, str]] = []
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for key, value in report.user_properties:
            if key == "campaign" and report.when == "call":
                name, ran, total = value
                row = rows.setdefault(name, [0, 0])
                row[0] += ran
                row[1] += total
            elif key == "table" and report.when == "call":
                tables.append(value)
    for name in sorted(rows):
        ran, total = rows[name]
        terminalreporter.write_line(f"campaign {name}: {ran} of {total} ({100 * ran / total:.0f} %)")
    for title, table in tables if terminalreporter.config.getoption("--long") else ():
        terminalreporter.write_line(f"{title}:\n{table}")
