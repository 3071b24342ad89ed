"""Reasons in words."""

from __future__ import annotations

import pytest

from regrove.node.process.describing import describe
from regrove.supervisor.reasons import Crashed, Killed, NoConnection, Normal, Shutdown, StartFailed

CRASH = Crashed("ValueError", "no\n  good", "shop.py:7")
WORDS: list[tuple[object, str]] = [
    (CRASH, "ValueError: no good at shop.py:7"),
    (Crashed("Crash"), "Crash"),
    (Shutdown(CRASH), "ValueError: no good at shop.py:7"),
    (StartFailed("a", StartFailed("b", CRASH)), "the start of a failed: the start of b failed: ValueError: no good"),
    (Shutdown(), "shutdown"),
    (Shutdown("drain"), "drain"),
    (Killed(), "killed"),
    (Normal(), "ended normally"),
    (NoConnection(), "NoConnection()"),
    (42, "42"),
]


@pytest.mark.parametrize(("reason", "words"), WORDS, ids=[words for _, words in WORDS])
def test_a_reason_in_words(reason: object, words: str) -> None:
    assert describe(reason).startswith(words)


def test_a_reason_nested_without_end_and_a_long_one_stay_short() -> None:
    nested: object = CRASH
    for _ in range(100):
        nested = StartFailed("x", nested)
    assert len(describe(nested)) < 3_000
    assert describe("x" * 5_000).endswith("...")
