"""What the story of a whole world tells: the test itself, faults, pauses, crashes, reasons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples import kv
from examples.counter import Add, Total, app
from regrove import (
    RECEIVE,
    Application,
    Call,
    Child,
    Context,
    Effect,
    Failed,
    Isolate,
    NoProcess,
    Open,
    Opened,
    Supervisor,
    Sync,
    Synced,
    Write,
    Written,
)  # fmt: skip
from regrove.node.simulation.cases import Case
from regrove.node.simulation.failing import Failing, judge
from regrove.node.simulation.telling import told_rows
from regrove.node.simulation.tracing import digest_of
from regrove.testing import Simulation
from regrove.testing import faults as f


def fail_after_a_second(sim: Simulation) -> None:
    sim.run("1s")
    raise AssertionError("enough")


def test_a_connection_from_outside_is_named_in_a_story_as_no_isolate_is() -> None:
    def fails() -> None:
        with Simulation(kv.app) as sim:
            stream = sim.connect(6380)
            stream.send(b"SET key x\r\n")
            assert stream.read_until(b"\r\n") == b"-ERR\r\n"

    with pytest.raises(AssertionError) as failed:
        fails()
    story = "\n".join(failed.value.__notes__)
    assert "test outside1.send b'SET key x\\r\\n'" in story
    assert "test outside1.read_until b'\\r\\n' -> b'+OK\\r\\n' at " in story
    assert "client1" not in story


def test_what_a_test_got_is_told_at_more_length_than_what_it_gave() -> None:
    value = "x" * 80

    def fails() -> None:
        with Simulation(kv.app) as sim:
            stream = sim.connect(6380)
            stream.send(f"SET key {value}\r\nGET key\r\n".encode())
            assert stream.read_until(value.encode()) == b""

    with pytest.raises(AssertionError) as failed:
        fails()
    (sent, got) = [row for row in "\n".join(failed.value.__notes__).splitlines() if "test outside1." in row]
    assert sent.endswith("b'SET key xxxxxxxxxxxxxxxxxxxxxxxxxxx...")
    assert f"-> b'+OK\\r\\n$80\\r\\n{value[:79]}" in got


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (f.once("cut", "n0>n1", at="1s", lasts="1146ms"), "n0>n1 fault-cut for 1.146s"),
        (f.once("slow", "n0/0", at="1s", lasts="2s", strength=20), "n0/0 fault-slow for 2s x20"),
        (f.once("pause", "n0/0", at="1s", lasts="30us"), "n0/0 fault-pause for 0.000030s"),
        (f.once("crash-core", "n1/0", at="1s"), "n1/0 fault-crash-core"),
    ],
    ids=str,
)
def test_how_long_and_how_strong_a_fault_was_is_told_in_words(fault: f.Fault, told: str) -> None:
    with Simulation(app, nodes=2, faults=fault) as sim:
        sim.run("2s")
        rows = [str(event) for event in sim.trace if event.kind.startswith("fault-")]
    assert [row.partition("] ")[2] for row in rows] == [told]


def test_what_a_test_breaks_itself_is_told_with_its_ways_and_whom_it_parts() -> None:
    with Simulation(app, nodes=2) as sim:
        sim.cut("n0", "n1")
        sim.heal("n0", "n1")
        sim.cut("n0", "n1", one_way=True)
        sim.calm(keep="all")
        sim.crash("n1")
        sim.run("100ms")
        rows = [str(event).partition("] ")[2] for event in sim.trace]
    assert "n0@sim>n1@sim test-cut both ways" in rows
    assert "n0@sim>n1@sim test-cut one way" in rows
    assert "test-calm keeps n0 n1" in [row.strip() for row in rows]
    assert rows[-1] == "n0@sim node-down n1@sim"


def test_that_no_fault_is_needed_does_not_hide_what_the_test_breaks_itself(tmp_path: Path) -> None:
    def cuts(sim: Simulation) -> None:
        sim.cut("n0", "n1")
        raise AssertionError("cut")

    def fails(_sim: Simulation) -> None:
        raise AssertionError("not cut")

    told = []
    for test in (cuts, fails):
        with pytest.raises(AssertionError) as failed:
            judge(
                lambda given: Simulation(app, nodes=2, faults=given), test, (), Case("test", 0, ()),
                Failing(folder=tmp_path), lambda _file, _seed: "",
            )  # fmt: skip
        told += [line for line in failed.value.__notes__[0].splitlines() if line.startswith("plan: ")]
    assert told == [
        "plan: no faults are needed beside what the test does itself (shrunk in 1 run)",
        "plan: no faults are needed (shrunk in 1 run)",
    ]


def test_how_a_world_started_gives_way_to_what_came_of_a_test() -> None:
    with Simulation(app, nodes=4, cores=2) as sim:
        for number in range(60):
            sim.send(sim.find("root/counter", node=number % 4, core=0).address, Add(number))
            sim.run(f"{number * 7 % 13 + 1}ms")
        rows = told_rows(sim.world, AssertionError())
    assert len(rows) == 40
    assert [row for row in rows if "zygote" in row or "core-boot" in row or "names-changed" in row] == []


def test_what_pytest_says_of_its_own_report_is_not_repeated() -> None:
    text = "assert b'' == b'x'\n  \n  Use -v to get more diff"

    def fails() -> None:
        with Simulation(app):
            raise AssertionError(text)

    with pytest.raises(AssertionError) as failed:
        fails()
    story = "\n".join(failed.value.__notes__)
    assert "violated: AssertionError: assert b'' == b'x'\n  at " in story
    assert "Use -v" not in story


def test_what_no_event_has_caused_is_explained() -> None:
    with pytest.raises(AssertionError) as failed, Simulation(app) as sim:
        fail_after_a_second(sim)
    story = "\n".join(failed.value.__notes__)
    assert "[event <- cause, 0: a timer or from outside]" in story
    assert " <- 0]" in story


@pytest.mark.parametrize("place", ["n0/1", "n0"])
def test_who_is_stopped_by_a_pause_is_told_with_what_waits_for_it(place: str) -> None:
    def fails(sim: Simulation, lasts: str) -> None:
        with sim:
            sim.inject(f.once("pause", place, at=0, lasts=lasts))
            sim.run("100ms")
            for _ in range(3):
                sim.send(sim.find("root/counter", core=1).address, Add(1), source="n1/0")
                sim.run("300ms")
            raise AssertionError("enough")

    def told(lasts: str) -> list[str]:
        with pytest.raises(AssertionError) as failed:
            fails(Simulation(app, nodes=2, cores=2), lasts)
        return [row.strip() for row in "\n".join(failed.value.__notes__).splitlines() if "by a pause" in row]

    (row,) = told("60s")
    assert re.fullmatch(rf"{place}: stopped by a pause since 0\.\d+s, \d+ inputs wait", row), row
    assert not told("50ms")


class Asker(Isolate):
    def handle(self, ctx: Context, message: Add | Failed) -> Effect:
        return Call("nobody", Total(), timeout=0.1) if isinstance(message, Add) else RECEIVE


def test_why_a_wait_failed_is_told_and_changes_no_digest() -> None:
    asking = Application("asking", tree=lambda place: Supervisor("root", [Child("asker", Asker, name="asker")]))
    with Simulation(asking) as sim:
        sim.send("asker", Add(1))
        sim.settle()
        (failed,) = [event for event in sim.trace if event.kind == "outcome"]
    assert str(failed).endswith("root/asker#1 outcome Failed NoProcess")
    assert failed.digest == digest_of(Failed(NoProcess()))


class Deep(Isolate):
    def handle(self, ctx: Context, message: Add) -> Effect:
        return self.one()

    def one(self) -> Effect:
        return self.other()

    def other(self) -> Effect:
        return self.one()


def test_a_deep_traceback_and_a_long_text_take_few_lines_of_a_story() -> None:
    deep = Application("deep", tree=lambda place: Supervisor("root", [Child("deep", Deep, name="deep")]))

    def fails() -> None:
        with Simulation(deep) as sim:
            sim.send("deep", Add(1))
            sim.settle()
            raise AssertionError("\n".join(["x" * 10_000] * 500))

    with pytest.raises(AssertionError) as failed:
        fails()
    story = "\n".join(failed.value.__notes__).splitlines()
    assert len(story) < 80
    assert max(map(len, story)) <= 300
    assert "... 484 lines ..." in story
    assert any(line.endswith("RecursionError: maximum recursion depth exceeded") for line in story)


class Forgetful(Isolate):
    """Handles no text; a number is no answer of a start that wants none."""

    def start(self, ctx: Context) -> Effect:
        if ctx.place.settings.get("broken"):
            raise ValueError("no configuration")
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        if isinstance(message, int):
            return RECEIVE
        return None


forgetful = Application(
    "forgetful", tree=lambda place: Supervisor("root", [Child("it", Forgetful, name="it")], intensity=9)
)


def story_of(sim: Simulation) -> str:
    try:
        with sim:
            sim.send("it", "text")
            sim.settle()
            sim.send("it", "text")
            fail_after_a_second(sim)
    except AssertionError as error:
        return "\n".join(error.__notes__)
    raise AssertionError("it did not fail")


def test_a_crash_without_an_exception_is_told_with_its_reason_and_how_often_it_came() -> None:
    story = story_of(Simulation(forgetful))
    (told,) = [row for row in story.splitlines() if "Forgetful at root/it" in row]
    assert "n0@sim/0 root/it at test_story_of_a_world.py:" in told
    assert "returned None for 'text'" in told
    assert told.endswith(" x2")


def test_the_same_crash_in_many_lives_of_a_core_is_one_kind() -> None:
    story = story_of(Simulation(forgetful, settings={"broken": "yes"}))
    assert len([row for row in story.splitlines() if re.search(r"no configuration x\d\d+$", row)]) == 1
    assert "  | ValueError: no configuration" in story


def test_a_crash_that_the_plan_asked_for_is_told_by_the_plan_alone() -> None:
    plan = f.once("crash-isolate", "n0/0:root/it", at="500ms")
    story = story_of(Simulation(forgetful, faults=plan))
    assert "InjectedFault" not in story
    assert "fault-crash-isolate" in story


class Careless(Isolate):
    """Keeps two lines in a file, and syncs the first."""

    def start(self, ctx: Context) -> Effect:
        return Open("lines", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Opened) -> Effect:
        return Write(outcome.stream, b"first\n", then=self.written)

    def written(self, ctx: Context, outcome: Written) -> Effect:
        return Sync(outcome.stream, then=self.synced)

    def synced(self, ctx: Context, outcome: Synced) -> Effect:
        ctx.buggify("a rare branch")
        return Write(outcome.stream, b"second\n", then=lambda _ctx, _outcome: RECEIVE)


careless = Application("careless", tree=lambda place: Supervisor("root", [Child("it", Careless)]))


def test_a_power_loss_is_told_with_what_the_disk_kept_and_a_buggify_point_with_where_it_held() -> None:
    told = ""
    for seed in range(16):  # each switches its own points on, and keeps its own part of what was not synced
        with Simulation(careless, nodes=2, seed=seed, faults=f.swarm(f.buggify(noise=(1, 1)))) as sim:
            sim.settle()
            sim.crash("n0")
            told += "\n".join(told_rows(sim.world, AssertionError()))
    assert re.search(r"n0@sim the disk kept \d+ of 13 bytes of lines", told)
    assert re.search(r"n[01]/0 root/it buggify 'a rare branch' holds", told)


def test_an_assert_of_eventually_does_not_hold_yet_and_its_last_words_are_told() -> None:
    def sums_to(sim: Simulation, most: int) -> bool:
        total = sim.client.call("counter", Total())
        assert total >= most, f"only {total}"
        return True

    with Simulation(app) as sim:
        sim.send("counter", Add(5))
        sim.eventually("fifteen", lambda world: sums_to(world, 15), within="1s")
        with pytest.raises(AssertionError, match=r"eventually 'hundred' was violated.*: not within 1s: only 15"):
            sim.eventually("hundred", lambda world: sums_to(world, 100), within="1s")


def test_what_a_predicate_of_eventually_violates_ends_it_at_once() -> None:
    def drives_on(sim: Simulation) -> bool:
        sim.run("200ms")
        return False

    ran: list[Simulation] = []

    def waits() -> None:
        with Simulation(app) as sim:
            ran.append(sim)
            sim.always("young", lambda world: world.now < 1_000_000_000)
            sim.eventually("never", drives_on, within="60s")

    with pytest.raises(AssertionError, match="always 'young' was violated"):
        waits()
    assert ran[0].now < 2_000_000_000
