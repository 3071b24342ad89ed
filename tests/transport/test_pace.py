"""The window of a bulk session: 100 ms of rate on a long path, a few round trips on a short one."""

from __future__ import annotations

from regrove.transport.pace import Pace

MS = 1_000_000
KIB = 1024
MIB = 1024 * KIB


def run(pace: Pace, rate: int, trip: int, rounds: int) -> None:
    """A path of `rate` bytes a second and `trip` ns, with a sender that always fills the window."""
    now = written = taken = 0
    for _ in range(rounds):
        written = taken + pace.window
        pace.limited = True
        pace.wrote(written, taken, now)
        pace.limited = True
        now += max(trip, (written - taken) * 1_000 * MS // rate)
        taken = written - 1  # one byte stays: the path is never idle
        pace.taken(taken, written, now)


def test_the_window_grows_to_100_ms_of_rate() -> None:
    pace = Pace(256 * KIB, 32 * MIB)
    run(pace, 100 * MIB, 30 * MS, 50)
    assert 9 * MIB < pace.window < 11 * MIB


def test_it_never_grows_over_the_budget() -> None:
    pace = Pace(256 * KIB, 32 * MIB)
    run(pace, 10_000 * MIB, 50 * MS, 50)
    assert pace.window == 32 * MIB


def test_on_a_short_path_a_few_round_trips_are_enough() -> None:
    pace = Pace(256 * KIB, 32 * MIB)
    run(pace, 2_000 * MIB, MS // 5, 50)
    assert pace.window < 8 * MIB


def test_it_shrinks_with_the_rate_but_not_below_the_floor() -> None:
    pace = Pace(256 * KIB, 32 * MIB)
    run(pace, 100 * MIB, 30 * MS, 50)
    run(pace, MIB, 30 * MS, 50)
    assert pace.window == 256 * KIB


def test_a_sender_with_little_to_send_changes_nothing() -> None:
    pace = Pace(256 * KIB, 32 * MIB)
    for number in range(50):
        pace.wrote((number + 1) * 100, number * 100, number * MS)
        pace.taken((number + 1) * 100, (number + 1) * 100, number * MS + 1)
    assert pace.window == 256 * KIB
