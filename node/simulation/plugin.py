"""The pytest plugin: options of simulated tests. Imported by every pytest run, so it imports nothing up front."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of simulated tests."""
    group = parser.getgroup("regrove", "deterministic simulation")
    group.addoption("--sim-seed", type=int, default=None, metavar="N", help="run this seed only")
