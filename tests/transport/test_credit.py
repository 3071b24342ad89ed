"""The arithmetic of credit, beside a naive twin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.transport.credit import OPENING, OVERHEAD_BYTES, WINDOW, CreditError, ReceiveCredit, SendCredit, Window
from regrove.transport.link import LinkSettings


def test_the_windows_are_those_of_the_design() -> None:
    assert Window(256, 1024 * 1024) == OPENING
    assert Window(4096, 8 * 1024 * 1024) == WINDOW
    assert OVERHEAD_BYTES == 64


def test_a_sender_is_full_after_exactly_the_messages_of_the_window() -> None:
    credit = SendCredit(Window(3, 1_000))
    assert [credit.take(1) for _ in range(5)] == [True, True, True, False, False]
    assert credit.raise_to(4, 1_000)
    assert [credit.take(1) for _ in range(2)] == [True, False]


def test_a_sender_is_full_after_exactly_the_bytes_of_the_window() -> None:
    credit = SendCredit(Window(100, 1_000))
    assert credit.take(999)
    assert not credit.take(2)
    assert credit.take(1)
    assert not credit.take(1)


def test_an_opening_window_over_the_window_is_taken_once() -> None:
    credit = ReceiveCredit(Window(2, 100), Window(5, 1_000))
    credit.took(5, 1_000)
    assert credit.due
    assert credit.grant() == (7, 1_100)


def test_limits_never_fall_and_a_late_grant_changes_nothing() -> None:
    credit = SendCredit(Window(10, 1_000))
    assert not credit.raise_to(5, 500)
    assert (credit.limit_messages, credit.limit_size) == (10, 1_000)
    assert credit.raise_to(5, 2_000)
    assert (credit.limit_messages, credit.limit_size) == (10, 2_000)


def test_a_receiver_grants_at_half_a_window() -> None:
    credit = ReceiveCredit(Window(10, 1_000), Window(1, 1))
    credit.took(4, 4)
    assert not credit.due
    credit.took(1, 1)
    assert credit.due
    assert credit.grant() == (15, 1_005)
    assert not credit.due
    credit.took(1, 500)
    assert credit.due


@pytest.mark.parametrize(
    ("messages", "size", "problem"), [(11, 5, "11 .* 10 messages"), (1, 1_001, "1001 .* 1000 byt")]
)
def test_more_than_was_granted_is_an_error(messages: int, size: int, problem: str) -> None:
    credit = ReceiveCredit(Window(10, 1_000), Window(1, 1))
    with pytest.raises(CreditError, match=problem):
        credit.took(messages, size)


@given(st.lists(st.one_of(st.integers(1, 400), st.just(0)), max_size=200), st.integers(1, 20), st.integers(400, 2_000))
def test_sender_and_receiver_agree_with_a_naive_count(steps: list[int], messages: int, size: int) -> None:
    """A positive step sends a message of that cost, 0 delivers what is under way and lets a due grant return."""
    window = Window(messages, size)
    sender, receiver = SendCredit(window), ReceiveCredit(window, window)
    unacknowledged: list[int] = []  # the naive twin: what the receiver has not granted again
    under_way: list[int] = []
    for step in steps:
        if step:
            fits = len(unacknowledged) < messages and sum(unacknowledged) + step <= size
            assert sender.take(step) == fits
            if fits:
                unacknowledged.append(step)
                under_way.append(step)
        else:
            receiver.took(len(under_way), sum(under_way))
            under_way.clear()
            if receiver.due:
                sender.raise_to(*receiver.grant())
                unacknowledged.clear()
    assert sender.messages - receiver.messages == len(under_way)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"opening": Window(5_000, 1)}, "opening window"),
        ({"opening": Window(5_000, 1), "window": Window(9_000, 1 << 23)}, "larger than any peer takes"),
        ({"message_max": 0}, "message_max = 0 must be 1 to 33554432"),
        ({"message_max": 33 * 1024 * 1024}, "big messages under way"),
        ({"inline_max": 0}, "inline_max = 0 must be 1 to 4194304"),
        ({"inline_max": 5 * 1024 * 1024}, "half the byte window"),
        ({"redial_min": 0}, "redial_min"),
        ({"redial_min": 10, "redial_max": 9}, "redial_min"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LinkSettings(**settings)  # type: ignore[arg-type]
