"""The real edge keeps the contract of every edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regrove.node.io import Edge, Poller
from regrove.node.io.contract import CHECKS, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    poller = Poller()
    edge = Edge(poller, tmp_path / "data")
    yield Bench(edge, lambda: poller.wait(50_000_000))
    edge.close()
    poller.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_edge_keeps_the_contract(check: Callable[[Bench], None], bench: Bench) -> None:
    check(bench)
