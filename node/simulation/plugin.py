"""The pytest plugin: `--sim-seed`, and one item a seed range for each `@simulate`.

Every pytest run imports this module, so it imports nothing of ours up front; xdist spreads the items over its workers.
"""

from __future__ import annotations

import pytest

ATTRIBUTE = "__regrove_campaign__"  # set by campaign.simulate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of simulated tests."""
    group = parser.getgroup("regrove", "deterministic simulation")
    group.addoption("--sim-seed", type=int, default=None, metavar="N", help="run this seed only")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of simulated tests."""
    config.addinivalue_line("markers", "simulated: a test over the seeds of @simulate")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each range of seeds."""
    campaign = getattr(metafunc.function, ATTRIBUTE, None)
    if campaign is None:
        return
    from regrove.node.simulation.campaign import PARAMETER

    ranges = campaign.ranges(metafunc.config.getoption("--sim-seed"))
    names = [f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}" for seeds in ranges]
    metafunc.parametrize(PARAMETER, ranges, ids=names)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark simulated tests, so that `-m simulated` selects them."""
    if getattr(getattr(item, "function", None), ATTRIBUTE, None) is not None:
        item.add_marker("simulated")
