"""The trace and its rolling hash."""

from __future__ import annotations

import io

from regrove.node.simulation.trace import Trace, first_difference, read


def filled(events: int = 20, text: str = "", changed: int = -1) -> Trace:
    trace = Trace()
    for number in range(events):
        trace.emit(number * 10, number, "n0/0", f"root/{number % 3}", 1, "handle", 99 if number == changed else 7, text)
    return trace


def test_equal_runs_have_equal_digests() -> None:
    assert filled().digest == filled().digest


def test_texts_are_outside_the_digest() -> None:
    assert filled(text="/srv/me/app.py:12").digest == filled(text="").digest


def test_any_change_changes_the_digest() -> None:
    digests = [filled().digest, filled(changed=3).digest, filled(events=19).digest]
    assert len(dict.fromkeys(digests)) == 3


def test_reading_the_digest_half_way_changes_nothing() -> None:
    trace = Trace()
    for number in range(2_000):
        trace.emit(number, 0, "n0", "root", 1, "handle", 0)
        if number % 7 == 0:
            assert trace.digest
    plain = Trace()
    for number in range(2_000):
        plain.emit(number, 0, "n0", "root", 1, "handle", 0)
    assert trace.digest == plain.digest


def test_the_first_difference_names_the_event_and_the_fields() -> None:
    told = first_difference(filled(), filled(changed=4))
    assert told is not None
    assert "event 5, in digest" in told
    assert first_difference(filled(), filled()) is None
    told = first_difference(filled(), filled(events=25))
    assert told is not None
    assert "second run goes on" in told


def test_old_events_are_dropped_but_stay_in_the_digest() -> None:
    short, long = Trace(kept=5), Trace()
    for trace in (short, long):
        for number in range(50):
            trace.emit(number, number, "n0", "root", 1, "handle", number)
    assert short.digest == long.digest
    assert len(short) == 5
    assert short.dropped == 45
    assert [event.sequence for event in short.causes(50)] == [46, 47, 48, 49, 50]


def test_causes_lead_back_to_the_first() -> None:
    trace = Trace()
    first = trace.emit(0, 0, "n0", "a", 1, "send", 0)
    trace.emit(1, 0, "n0", "noise", 1, "send", 0)
    second = trace.emit(2, first, "n0", "b", 1, "handle", 0)
    third = trace.emit(3, second, "n0", "b", 1, "ended", 0)
    assert [event.sequence for event in trace.causes(third)] == [first, second, third]


def test_a_written_trace_reads_back() -> None:
    trace = filled(text="x")
    file = io.StringIO()
    trace.write(file)
    file.seek(0)
    assert read(file) == list(trace)


def test_undelivered_messages_are_found_by_reason() -> None:
    trace = Trace()
    trace.emit(0, 0, "n0", "root/w", 1, "undelivered", 0, "STALE Job")
    trace.emit(0, 0, "n0", "root/w", 1, "undelivered", 0, "MAILBOX_FULL Job")
    assert len(trace.undelivered()) == 2
    assert [event.text for event in trace.undelivered(reason="STALE")] == ["STALE Job"]
