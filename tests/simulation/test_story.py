"""What a story shows of a run that failed."""

from __future__ import annotations

import re

import pytest

from examples.counter import Add, Total, app
from regrove import message
from regrove.node.core.messages import encode
from regrove.node.simulation.history import History
from regrove.node.simulation.telling import LINES, Rows, named_by, times_of
from regrove.node.simulation.trace import Trace
from regrove.testing import Register, Simulation, linearizable
from regrove.testing import faults as f

SECOND = 1_000_000_000


@message(name="tests.story.Mute")
class Mute:
    key: str

    def __repr__(self) -> str:
        raise RuntimeError(self.key)


@message(name="tests.story.Poem")
class Poem:
    key: str

    def __repr__(self) -> str:
        return "two\nlines"


def ticking(seconds: int, trace: Trace, isolates: int = 1) -> None:
    """Let isolates tick once a second, and one of them handle work at no interval."""
    for second in range(1, seconds + 1):
        for number in range(isolates):
            trace.emit(second * SECOND + number, 0, "n0", f"root/{number}", 1, "handle", 0, "Tick")
        if second * second % 7 == 2:
            trace.emit(second * SECOND + 99, 0, "n0", "root/0", 1, "handle", 0, "Work")


def test_ticks_are_one_row_and_other_messages_a_row_each() -> None:
    trace = Trace()
    ticking(20, trace, isolates=2)
    told = Rows(trace).choose(())
    assert [row.partition(" x")[2] for row in told if "Tick" in row] == [
        "20, each 1s since 1.000000s", "20, each 1s since 1.000000s",
    ]  # fmt: skip
    assert sum("Work" in row for row in told) == sum(second * second % 7 == 2 for second in range(1, 21))


def test_ticks_are_one_row_beside_messages_of_the_same_class_from_elsewhere() -> None:
    trace = Trace()
    for second in range(1, 20):
        trace.emit(second * SECOND, 0, "n0", "root", 1, "handle", 0, "Add")
        if second in (2, 3, 7, 12):
            trace.emit(second * SECOND + SECOND // 3, trace.sequence, "n0", "root", 1, "handle", 0, "Add")
    told = Rows(trace).choose(())
    assert len(told) == 5
    assert told[-1].endswith("Add x19, each 1s since 1.000000s")


def test_what_comes_at_no_interval_is_not_folded() -> None:
    trace = Trace()
    for number in (1, 2, 4, 8, 16, 32):
        trace.emit(number * SECOND, 0, "n0", "root", 1, "handle", 0, "Work")
    assert len(Rows(trace).choose(())) == 6


def test_where_not_all_fits_what_comes_again_and_again_is_its_last_few_and_one_row() -> None:
    trace = Trace()
    for number in range(1, 200):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, "Work")
        if number % 20 == 0:
            trace.emit(number * number * SECOND + 5, 0, "n0", "root", 1, "handle", 0, f"Rare{number}")
    told = Rows(trace).choose(())
    work = [row for row in told if "Work" in row]
    assert [row.partition("Work")[2] for row in work] == [" x196, now and then since 1.000000s", "", "", ""]
    assert [row.rpartition(" ")[2] for row in told if "Rare" in row] == [
        f"Rare{number}" for number in range(20, 200, 20)
    ]
    assert told == sorted(told, key=lambda row: float(row.partition("s ")[0]))


def test_how_the_world_started_takes_no_row_from_what_came_after_the_first_fault() -> None:
    trace = Trace()
    for number in range(1, 30):
        trace.emit(number, 0, "n0", "root", 1, "started", 0, f"{number}")
    trace.emit(SECOND, 0, "n0>n1", "", 0, "fault-cut", 0)
    for number in range(1, 100):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, f"Work{number}")
    trace.emit(10_000 * SECOND, 0, "n0", "root", 1, "restarted", 0)
    told = Rows(trace).choose(())
    assert len(told) == LINES
    assert sum(" started " in row for row in told) <= 1, "what came right before the fault"
    assert any("restarted" in row for row in told)


def test_a_fault_long_ago_and_the_rows_around_it_are_shown_among_at_most_forty() -> None:
    trace = Trace()
    times = [number * number * SECOND for number in range(1, 400)]
    for number, time in enumerate(times):
        if number == 20:
            trace.emit(time - 5, 0, "n0>n1", "", 0, "fault-cut", 0)
        trace.emit(time, 0, "n0", "root", 1, "handle", 0, f"Work{number}")
    told = Rows(trace).choose(())
    assert len(told) == LINES
    at = next(place for place, row in enumerate(told) if "fault-cut" in row)
    assert [row.rpartition(" ")[2] for row in told[at - 1 : at + 3 : 2]] == ["Work19", "Work20"]


def test_the_time_of_the_operation_that_a_checker_names_is_shown() -> None:
    trace = Trace()
    for number in range(1, 400):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, f"Work{number}")
    assert not any("Work100" in row for row in Rows(trace).choose(()))
    assert any(row.endswith("Work100") for row in Rows(trace).choose([100 * 100 * SECOND]))


def test_what_the_test_did_is_told_and_changes_no_digest() -> None:
    def fails(sim: Simulation, told: bool) -> None:
        with sim:
            sim.send("counter", Add(5))
            assert sim.call("counter", Total()) == 15
            if not told:
                sim.trace.doings.clear()
            raise AssertionError("enough")

    def run(told: bool) -> tuple[str, str]:
        sim = Simulation(app, cores=1)
        with pytest.raises(AssertionError, match="enough") as failed:
            fails(sim, told)
        return sim.trace.digest, "\n".join(failed.value.__notes__)

    (digest, story), (same, silent) = run(told=True), run(told=False)
    assert digest == same
    assert re.search(r"test send 'counter' Add\(amount=5\) -> OK", story), story
    assert re.search(r"test call 'counter' Total\(\) -> 15 at 0\.", story), story
    assert " test call" not in silent


def test_frames_that_a_cut_holds_are_counted_and_told_while_it_stands() -> None:
    sim = Simulation(app, nodes=2, faults=f.once("cut", "n0>n1", at="1s", lasts="60s"))

    def fails() -> None:
        with sim:
            target = sim.find("root/counter", node=1).address
            sim.send(target, Add(1), source="n0/0")
            sim.run("1s")
            for _ in range(3):
                sim.send(target, Add(1), source="n0/0")
                sim.run("100ms")
            raise AssertionError("enough")

    with pytest.raises(AssertionError, match="enough") as failed:
        fails()
    story = "\n".join(failed.value.__notes__)
    held = re.search(r"n0@sim/0>n1@sim/0: (\d+) frames held by a cut", story)
    assert held is not None, story
    counts = sim.plan.counts["cut"]
    assert counts.affected >= int(held[1]) >= 3


def test_a_checkers_operation_is_where_the_story_looks() -> None:
    now = [0]
    history = History(lambda: now[0])
    write = history.invoke("a", "write", 1)
    now[0] = 10
    history.ok(write)
    read = history.invoke("a", "read")
    now[0] = 12
    history.ok(read, 2)
    with pytest.raises(AssertionError) as failed:
        linearizable(history, Register())
    assert times_of(failed.value) == [10, 12]


def test_the_operations_of_a_history_are_rows_of_the_story() -> None:
    def fails(sim: Simulation) -> None:
        with sim:
            history = sim.history()
            write = history.invoke("client 1", "write", 5, key="x")
            sim.run("100ms")
            history.ok(write)
            read = history.invoke("client 2", "read", key="x")
            sim.run("100ms")
            history.ok(read, 3)
            history.info(history.invoke("client 1", "write", 6, key="x"))
            history.invoke("client 2", "read")
            linearizable(history, Register())

    with pytest.raises(AssertionError) as failed:
        fails(Simulation(app))
    rows = [
        row.partition(" test ")[2] for row in "\n".join(failed.value.__notes__).splitlines() if " test client" in row
    ]
    assert [re.sub(r" at [0-9.]+s$", "", row) for row in rows] == [
        "client 1: write 'x' 5 -> ok", "client 2: read 'x' -> 3", "client 1: write 'x' 6 -> info", "client 2: read ",
    ]  # fmt: skip


def test_a_slow_link_that_stands_at_the_end_has_affected_what_it_slowed() -> None:
    with Simulation(app, nodes=2, faults=f.once("delay", "n0>n1", at="500ms", lasts="60s", strength=1_000_000)) as sim:
        sim.run("500ms")
        sim.send(sim.find("root/counter", node=1).address, Add(1), source="n0/0")
        sim.run("1s")
        assert sim.plan.counts["delay"].affected == 0
    assert sim.plan.counts["delay"].affected >= 1


def test_buggify_is_told_only_of_applications_that_have_points() -> None:
    sim = Simulation(app, faults=f.pause(often=(2, 1)))
    with pytest.raises(AssertionError) as failed, sim:
        fail_after_a_second(sim)
    story = "\n".join(failed.value.__notes__)
    assert "pause: " in story
    assert "buggify" not in story


def fail_after_a_second(sim: Simulation) -> None:
    sim.run("1s")
    raise AssertionError("enough")


@message
class Blob:
    data: bytes


def test_a_large_message_is_told_by_its_class_and_not_kept_alive() -> None:
    trace = Trace()
    doing = trace.doing(0, "send", Blob(b"x" * 2_000), b"y" * 2_000, Blob(b"z"))
    doing.end(0, b"a" * 2_000)
    assert [type(argument) for argument in doing.arguments] == [type, bytes, Blob]
    assert "Blob b'yyyy" in str(doing)
    assert len(str(doing)) < 200


def test_what_comes_many_times_at_one_instant_is_one_row() -> None:
    trace = Trace()
    for number in range(1, 60):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, f"Work{number}")
    for _ in range(30):
        trace.emit(4_000 * SECOND, 0, "n0", "root", 1, "undelivered", 0, "STALE")
    told = Rows(trace).choose(())
    assert [row.partition("undelivered ")[2] for row in told if "undelivered" in row] == ["STALE x30, at once"]
    assert sum("Work" in row for row in told) == LINES - 1


def test_what_the_test_did_alike_is_one_row_up_to_a_fault_and_one_behind_it() -> None:
    trace = Trace()
    for number in range(1, 31):
        doing = trace.doing(number * SECOND, "send", "counter", number if number == 30 else 0)
        doing.end(doing.time, "OK")
        trace.emit(number * SECOND + 1, 0, "n0", "root", 1, "handle", 0, f"Work{number * number}")
        if number == 10:
            trace.emit(number * SECOND + 2, 0, "n0>n1", "", 0, "fault-cut", 0)
        if number in (28, 29):
            trace.doing(number * SECOND + 2, "call", "counter").end((number + 1) * SECOND, 1)
    told = [row.partition("test ")[2] for row in Rows(trace).choose(()) if " test " in row]
    assert told == [
        "send 'counter' 0 -> 'OK' x10, each 1s since 1.000000s",
        "send 'counter' 0 -> 'OK' x18, each 1s since 11.000000s",
        "call 'counter' -> 1 at 29.000000s", "send 'counter' 0 -> 'OK'", "call 'counter' -> 1 at 30.000000s",
        "send 'counter' 30 -> 'OK'",
    ]  # fmt: skip


def test_what_comes_at_once_again_and_again_takes_no_more_rows_than_what_comes_singly() -> None:
    trace = Trace()
    for number in range(1, 100):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, f"Work{number}")
        for _ in range(4):
            trace.emit(number * number * SECOND + 5, 0, "n0", "root/sink", 1, "handle", 0, "Go")
    told = Rows(trace).choose(())
    assert [row.partition("Go")[2] for row in told if "Go" in row] == [
        " x384, now and then since 1.000000s", " x4, at once", " x4, at once", " x4, at once",
    ]  # fmt: skip
    assert len(told) == LINES


def asking(trace: Trace, second: int, work: int = 0) -> None:
    """Send on a stream and read until the answer; each with `work` events of its own."""
    trace.doing(second * SECOND, "outside1.send", f"SET {second}").end(second * SECOND, None)
    trace.doing(second * SECOND, "outside1.read_until", "+").end(second * SECOND + SECOND // 2, f"OK {second}")
    for number in range(work):
        trace.emit(second * SECOND + number * number + 1, 0, "n0", "root", 1, "handle", 0, f"Work{second}.{number}")


def test_the_last_six_exchanges_of_the_test_are_shown_whatever_else_happened() -> None:
    trace = Trace()
    for second in range(1, 30):
        asking(trace, second, work=9)
        trace.emit(second * SECOND + 99, 0, f"n0>n{second}", "", 0, "fault-cut", 0)
    told = Rows(trace).choose(())
    assert len(told) == LINES
    done = [row.partition("test ")[2] for row in told if " test " in row]
    expected = [
        (f"outside1.send 'SET {n}'", f"outside1.read_until '+' -> 'OK {n}' at {n}.500000s") for n in range(24, 30)
    ]
    assert [row.removesuffix(" -> None") for row in done[-12:]] == [row for pair in expected for row in pair]


def test_a_read_that_is_shown_has_the_send_before_it() -> None:
    trace = Trace()
    for second in range(1, 40):
        asking(trace, second, work=2)
    told = [row for row in Rows(trace).choose([second * SECOND for second in (3, 12, 18)]) if " test " in row]
    sends, reads = ([row.split()[0] for row in told if what in row] for what in (".send", ".read_until"))
    assert sends == reads
    assert {"2.000000s", "11.000000s", "17.000000s", "39.000000s"} <= set(sends)


def test_of_many_reads_after_one_send_the_last_is_shown_with_it() -> None:
    trace = Trace()
    trace.doing(1, "outside1.send", "LIST").end(1, None)
    for second in range(1, 40):
        trace.doing(second * SECOND, "outside1.read", second).end(second * SECOND + 1, second)
    trace.emit(40 * SECOND, 0, "n0", "root", 1, "handle", 0, "Work")
    told = Rows(trace).choose(())
    assert "outside1.send 'LIST'" in told[0]
    assert "outside1.read 39" in told[-2]


def test_how_isolates_started_and_ticks_give_way_to_what_happened_in_between() -> None:
    trace = Trace()
    asking(trace, 1)
    for number in range(8):
        trace.emit(SECOND + number, 0, "n0", f"root/{number}", 1, "started", 0)
    for second in range(2, 30):
        for number in range(6):
            trace.emit(second * SECOND + number, 0, "n0", f"root/{number}", 1, "handle", 0, "Tick")
    asking(trace, 30, work=36)
    told = Rows(trace).choose(())
    assert sum("started" in row or "Tick" in row for row in told) == 0
    assert len(told) == LINES


def test_a_message_that_names_what_the_failure_quotes_is_shown_however_long_ago_it_came() -> None:
    trace = Trace()
    for number in range(1, 400):
        trace.emit(number * number * SECOND, 0, "n0", "root", 1, "handle", 0, encode(f"job{number}"))
    assert not any("'job100'" in row for row in Rows(trace).choose(()))
    assert any(row.endswith("handle 'job100'") for row in Rows(trace).choose((), ["job100"]))
    assert not any("'job10'" in row for row in Rows(trace).choose((), ["job1"])), "a text that begins alike"


def test_a_message_that_cannot_be_printed_or_not_in_one_line_breaks_no_story() -> None:
    trace = Trace()
    trace.emit(SECOND, 0, "n0", "root", 1, "handle", 0, encode(Mute("j1")))
    trace.emit(2 * SECOND, 0, "n0", "root", 1, "handle", 0, encode(Poem("j1")))
    trace.doing(3 * SECOND, "send", Mute("j1"))
    rows = [row.partition(" ")[2] for row in Rows(trace).choose((), ["j1"])]
    assert rows == ["[1 <- 0] n0 root#1 handle Mute", r"[2 <- 0] n0 root#1 handle two\nlines", "test send Mute"]


def test_a_text_that_no_message_can_hold_is_looked_for_in_vain() -> None:
    trace = Trace()
    trace.emit(SECOND, 0, "n0", "root", 1, "handle", 0, encode("j1"))
    assert len(Rows(trace).choose((), ["\ud800"])) == 1


def test_what_a_failure_quotes_is_taken_from_its_own_words_and_its_operation() -> None:
    assert named_by(AssertionError("done twice: ['j2', 'j7'], it isn't 'j2'")) == ["j2", "j7"]
    assert named_by(AssertionError("assert b'' == b'+OK'")) == []
    assert named_by(AssertionError()) == []
    history = History(lambda: 0)
    failed = AssertionError("no order")
    failed.operation = history.invoke("client", "read", key="apples")  # type: ignore[attr-defined]
    assert named_by(failed) == ["apples"]


def test_an_answer_is_told_with_what_it_holds_and_one_of_a_class_that_is_gone_without() -> None:
    trace = Trace()
    trace.emit(SECOND, 0, "n0", "root", 1, "outcome", 0, ("Replied", encode(Add(5))))
    trace.emit(2 * SECOND, 0, "n0", "root", 1, "outcome", 0, ("Replied", b"\xc1"))
    trace.emit(3 * SECOND, 0, "n0", "root", 1, "handle", 0, b"\xc1")
    assert [row.partition("root#1 ")[2] for row in Rows(trace).choose(())] == [
        "outcome Replied Add(amount=5)", "outcome Replied", "handle message",
    ]  # fmt: skip
