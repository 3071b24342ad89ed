"""Malformed items beside a big message: whose order they would keep is asked before anybody has looked at them."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.node.core import remote
from regrove.transport.pieces import Assembly
from tests.core.pair import Pair

ROWS: dict[str, list[tuple[int, int, tuple[Any, ...]]]] = {
    "a push of nothing": [(1, 100, (remote.PUSH, b"")), (1, 0, (remote.CANCEL_PUSH, 5))],
    "a monitor of nothing": [(1, 100, (remote.SEND, b"")), (1, 0, (remote.MONITOR,)), (1, 0, (remote.DEMONITOR, 5))],
    "numbers without an end": [
        (2**63, 100, (remote.SEND, 2**64 - 1, 2**64 - 1, b"")),
        (2**63, 0, (remote.EXIT, -1, 0, -(2**63), 2**64 - 1, b"")),
        (2**63, 0, (remote.DOWN, 2**64 - 1, b"")),
    ],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_malformed_item_behind_a_big_one_is_held_as_any_other(rows: list[tuple[int, int, tuple[Any, ...]]]) -> None:
    pair = Pair([], [])
    assembly = Assembly(1_000, 1_000)
    assembly.rows(pair.a.core.home, 1, rows, pair.b.core.links.order)
    given = assembly.piece(4, 1, 0, 100, bytes(100))
    assert given[0] == (1, (*rows[0][2][:-1], bytes(100)))
