"""The log stream of a node: what lines look like, and that nobody ever waits for it."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from regrove.node.core.reasons import OsError
from regrove.node.process.core_log import AcceptWarnings, CoreLog
from regrove.node.process.logs import LogWriter, Tracebacks, console_text, json_text, renderer

AT = 1_700_000_000_123_456_789


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Stuck(io.StringIO):
    """A stream whose reader is asleep until `wake`."""

    def __init__(self) -> None:
        super().__init__()
        self.wake = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.wake.wait(30.0)
        return super().write(text)


def test_a_json_line_begins_with_time_level_and_event() -> None:
    text = json_text({"event": "core up", "node": "a@h", "level": "info", "at": AT, "odd": {1, 2}})
    assert text.startswith('{"at": "2023-11-14T22:13:20.123456Z", "level": "info", "event": "core up"')
    assert json.loads(text)["odd"] == "{1, 2}"


def test_a_console_line_is_for_people_and_its_traceback_is_indented() -> None:
    text = console_text({"at": AT, "level": "error", "event": "crashed", "path": "root/x", "traceback": "a\nb"})
    assert text == "22:13:20.123 error   crashed  path=root/x\n    a\n    b"


@pytest.mark.parametrize(
    ("style", "stream", "expected"),
    [
        ("auto", io.StringIO(), json_text),
        ("auto", Terminal(), console_text),
        ("json", Terminal(), json_text),
        ("console", io.StringIO(), console_text),
    ],
)
def test_the_form_is_chosen_by_the_terminal_unless_given(style: str, stream: io.StringIO, expected: object) -> None:
    assert renderer(style, stream) is expected


def test_lines_are_written_in_order_and_close_waits_for_them() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream, "json")
    for number in range(100):
        assert writer.put({"event": "e", "n": number})
    assert writer.close()
    assert [json.loads(line)["n"] for line in stream.getvalue().splitlines()] == list(range(100))


def test_a_stuck_stream_drops_counts_and_later_says_how_many() -> None:
    stream = Stuck()
    writer = LogWriter(stream, "json", limit=5)
    writer.put({"event": "first"})
    assert stream.reached.wait(30.0)
    taken = sum(writer.put({"event": "e", "n": number}) for number in range(20))
    assert (taken, writer.dropped) == (5, 15)
    assert not writer.close(0.01)
    stream.wake.set()
    assert writer.close(30.0)


def test_the_count_of_what_was_dropped_is_in_the_stream() -> None:
    stream = Stuck()
    writer = LogWriter(stream, "json", limit=1)
    writer.put({"event": "first"})
    assert stream.reached.wait(30.0)
    writer.put({"event": "kept"})
    writer.put({"event": "lost"})
    stream.wake.set()
    while writer.dropped and not writer.put({"event": "again"}):
        stream.wake.wait(0.001)
    assert writer.close(30.0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = next(line for line in lines if line["event"] == "log lines dropped")
    assert told["lines"] >= 1
    assert "lost" not in [line["event"] for line in lines]


def test_a_stream_that_is_closed_costs_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    stream.close()
    writer = LogWriter(stream, "json")
    writer.put({"event": "e"})
    assert writer.close()
    assert writer.dropped == 1


def lines_of(level: str = "info") -> tuple[Any, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    return CoreLog(lines.append, lambda: level, lambda: AT, {"node": "a@h", "core": 1}), lines


def test_a_line_of_a_core_is_plain_and_bound_to_it() -> None:
    logger, lines = lines_of()
    logger.bind(path="root/x").info("sold", item=object, price=3)
    assert lines == [
        {
            "at": AT,
            "level": "info",
            "event": "sold",
            "node": "a@h",
            "core": 1,
            "path": "root/x",
            "item": "<class 'object'>",
            "price": 3,
        }
    ]


def test_lines_below_the_level_are_not_sent() -> None:
    logger, lines = lines_of("warning")
    logger.info("quiet")
    logger.warning("loud")
    logger.exception("loudest", exc_info=None)
    assert [line["event"] for line in lines] == ["loud", "loudest"]


def test_an_exception_travels_as_its_traceback() -> None:
    logger, lines = lines_of()
    try:
        raise ValueError("no good")
    except ValueError as error:
        logger.error("crashed", exc_info=error)
    assert lines[0]["traceback"].endswith("ValueError: no good")
    assert "exc_info" not in lines[0]


def test_a_logger_is_bound_anew_and_unbound() -> None:
    logger, lines = lines_of()
    logger.unbind("core").try_unbind("node", "other").info("a %s", 1)
    logger.new(x=1).warn("b")
    with pytest.raises(KeyError):
        logger.unbind("other")
    assert lines == [
        {"at": AT, "level": "info", "event": "a %s", "positional_args": [1]},
        {"at": AT, "level": "warning", "event": "b", "x": 1},
    ]


def test_the_rest_of_structlog_is_there_too() -> None:
    logger, lines = lines_of("info")
    logger.bind(path="root/x").notice("sold", price=3)
    assert lines == [
        {"at": AT, "level": "notice", "event": "sold", "node": "a@h", "core": 1, "path": "root/x", "price": 3}
    ]
    assert not hasattr(logger, "__html__")


def test_a_traceback_is_whole_once_and_counted_after_that() -> None:
    tracebacks = Tracebacks()
    text = 'Traceback (most recent call last):\n  File "x.py", line {}, in handle\nValueError: {}'
    first = tracebacks.fold({"event": "crashed", "core": 0, "traceback": text.format(7, "a")})
    again = tracebacks.fold({"event": "crashed", "core": 1, "traceback": text.format(7, "b")})
    other = tracebacks.fold({"event": "crashed", "core": 1, "traceback": text.format(8, "a")})
    assert "traceback" in first
    assert again == {"event": "crashed", "core": 1, "tracebacks_like_this": 2}
    assert "traceback" in other
    assert tracebacks.fold({"event": "x"}) == {"event": "x"}


def test_past_the_bound_of_fingerprints_tracebacks_are_whole_each_time() -> None:
    tracebacks = Tracebacks(limit=1)
    for line in (1, 2, 2):
        assert "traceback" in tracebacks.fold({"traceback": f'  File "x.py", line {line}'})
    assert tracebacks.fold({"traceback": '  File "x.py", line 1'}) == {"tracebacks_like_this": 2}


def test_a_field_that_is_too_long_is_cut_and_says_so() -> None:
    logger, lines = lines_of()
    logger.info("big", text="x" * 100_000, rows=list(range(50_000)), short=[1, 2])
    assert lines[0]["text"].endswith("... (100000 characters)")
    assert len(lines[0]["rows"]) < 9_000
    assert lines[0]["short"] == [1, 2]


def test_that_connections_wait_is_said_once_a_minute_and_port() -> None:
    said: list[dict[str, Any]] = []
    now = [0.0]
    warnings = AcceptWarnings(CoreLog(said.append, lambda: "info", lambda: AT, {}), lambda: now[0])
    short = OsError("EMFILE", "accept: Too many open files")
    for at in (0.0, 0.1, 59.9, 60.0, 60.1):
        now[0] = at
        warnings.say("127.0.0.1:80", short)
    warnings.say("127.0.0.1:81", short)
    assert [line["port"] for line in said] == ["127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:81"]
    assert "ulimit -n" in said[0]["mend"]
    assert "Too many open files" in said[0]["reason"]
