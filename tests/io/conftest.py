"""A real edge for each test, closed at its end; the bench of the contract drives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regrove.node.core.reasons import OsError
from regrove.node.io import Edge, EdgeLimits, Poller
from regrove.node.io.contract import Bench


class EdgeBench(Bench):
    """A bench that knows its edge and poller."""

    def __init__(self, edge: Edge, poller: Poller) -> None:
        super().__init__(edge, lambda: poller.wait(50_000_000))
        self.edge = edge
        self.poller = poller
        self.waits: list[tuple[str, OsError]] = []  # told of ports where connections wait


class Benches:
    """Makes benches with the limits a test asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[EdgeBench] = []

    def __call__(self, limits: EdgeLimits | None = None, other_folders: tuple[Path, ...] = ()) -> EdgeBench:
        poller = Poller()
        told: list[tuple[str, OsError]] = []
        edge = Edge(poller, self.folder, limits, other_folders, accept_waits=lambda *wait: told.append(wait))
        bench = EdgeBench(edge, poller)
        bench.waits = told
        self.made.append(bench)
        return bench

    def close(self) -> None:
        for bench in self.made:
            bench.edge.close()
            bench.poller.close()


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Benches]:
    made = Benches(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def bench(benches: Benches) -> EdgeBench:
    return benches()
