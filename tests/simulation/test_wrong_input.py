"""What a tester gets wrong is refused at once by one sentence: which argument, what it was, what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from regrove import Misuse
from regrove.node.simulation.clock import duration
from regrove.testing import History, Ratio, Register, Simulation, linearizable
from regrove.testing import faults as f
from tests.simulation.apps import Add, Total, counting

KINDS = (
    f.cut, f.pause, f.crash, f.restart, f.memory, f.start_fails, f.drift, f.clock_step, f.swizzle, f.reset, f.clog,
    f.in_flight, f.frame_limit, f.duplicate, f.reorder, f.spike, f.buggify, f.streams, f.offload, f.loss, f.slow,
    f.delay, f.disk,
)  # fmt: skip
ARGUMENTS = [(kind, name) for kind in KINDS for name in inspect.signature(kind).parameters]
RANGES = [None, 5, "often", (1,), (3, 1, 2), ("a", "b"), (2.5, "2s", 1), (5, -2)]
WRONG: dict[str, list[Any]] = {
    "often": [*RANGES, (1, 0), (-1, 5), (1.5, 2), (65, 1)],
    "noise": [*RANGES, (1, 0), (-1, 5), (1.5, 2), (5, 2)],
    "lasts": [*RANGES, ("2s", "1s"), (-1, 5)],
    "on": ["disk", None, 5],
    "one_way": ["yes", 1],
    "most": [None, -1, "soon", ("1s", "2s"), "9999999h"],
}
SWITCHES = ("resets", "refuses", "slow", "fails", "sync_fails", "full")


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
def test_a_kind_refuses_each_wrong_argument_by_its_name(kind: Callable[..., Any], name: str) -> None:
    spike = kind is f.spike and name == "extra"
    for wrong in WRONG["most"][:4] if spike else ["yes", None] if name in SWITCHES else WRONG.get(name, RANGES):
        with pytest.raises(Misuse, match=rf"\b{name}\b"):
            kind(**{name: wrong})


@pytest.mark.parametrize(
    ("entry", "mend"),
    [
        (lambda: f.once("cutt", "n0>n1", at=0), "the kinds are cut"),
        (lambda: f.once("cut", 5, at=0), "a place is a text"),  # type: ignore[arg-type]
        (lambda: f.once("cut", "n0>n1", at="soon"), "once.at='soon'"),
        (lambda: f.once("cut", "n0>n1", at="2s", strength=5), "cut has no strength"),
        (lambda: f.once("crash-core", "n0/0", at="2s", lasts="1s"), "happens at an instant"),
        (lambda: f.once("clog", "n0>n1", at="2s", lasts="1s"), "needs a strength .bytes a second"),
        (lambda: f.once("slow", "n0/0", at="2s", strength=-4), "from 0 to"),
        (lambda: f.once("slow", "n0/0", at="2s", strength="x"), "strength='x'"),  # type: ignore[arg-type]
        (lambda: f.once("drift", "n0", at="2s", strength=-2_000_000), "from -900000 to"),
        (lambda: f.Fault("cut", "n0>n1", at="2s"), "faults.once takes"),  # type: ignore[arg-type]
        (lambda: f.Noise("loss", (1, 2000)), r"write Ratio.1, 2000."),  # type: ignore[arg-type]
        (lambda: f.Noise("loss", Ratio(3, 2)), "from 0 to 1"),
        (lambda: f.read_plan("2s cut n0>n1 for 1s"), "takes the lines"),
        (lambda: f.read_plan(["# mine", "2s cut n0>n1 for"]), "line 2 of the plan, '2s cut n0>n1 for'"),
        (lambda: f.read_plan(["2 cut n0>n1 for 1s"]), "line 1 of the plan"),
    ],
)
def test_an_entry_by_hand_that_means_nothing_is_refused(entry: Callable[[], object], mend: str) -> None:
    with pytest.raises(Misuse, match=mend):
        entry()


def test_a_plan_in_a_file_is_held_to_the_same(tmp_path: Path) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("2s slow n0/0 for 1s\n")
    with pytest.raises(Misuse, match="slow needs a strength"):
        f.read(plan)


@pytest.mark.parametrize(
    ("what", "where", "mend"),
    [
        ("cut", "n0/0>n1/0#17", "strikes no single frame; what strikes one frame is loss"),
        ("loss", "n0/0>n9/0#17", "there is no node 'n9'"),
        ("loss", "n0>n1#17", "there is no core 'n0'"),
        ("loss", "n0/0>n1/0#x", "one frame of one link is written"),
        ("spike", "n0/0>n1/0", "one frame of one link is written"),
        ("buggify", "n0", "is only drawn, as noise"),
        ("cut", "n0>n0", "got n0 twice"),
        ("pause", "n0>n1", "pause strikes a node or a core, such as n0 or n0/1, got 'n0>n1'"),
        ("crash-core", "n0/0:root/counter", "crash-core strikes a core, such as n0/1, got 'n0/0:root/counter'"),
        ("crash-node", "n0<>n1", "crash-node strikes a node, such as n0, got"),
        ("crash-isolate", "n0>n1", "crash-isolate strikes an isolate"),
    ],
)
def test_an_entry_at_a_place_that_cannot_be_struck_is_refused_before_anything_runs(
    what: str, where: str, mend: str
) -> None:
    strength = 5 if what == "spike" else 0
    with pytest.raises(Misuse, match=mend):
        Simulation(counting, nodes=2, faults=f.Fault(what, where, 0, 0, strength))


VERBS: dict[str, tuple[Callable[[Any], object], str]] = {
    "cut numbers": (lambda sim: sim.cut(0, 1), "a place is a node or a core of sim.nodes"),
    "a place of nowhere": (lambda sim: sim.crash(None), "a place is a node or a core of sim.nodes"),
    "source": (lambda sim: sim.send("counter", Add(1), source=5), "a place is a node or a core of sim.nodes"),
    "send to what was found": (lambda sim: sim.send(sim.find("root/counter"), Add(1)), r"sim\.find\(path\)\.address"),
    "busy node": (lambda sim: sim.busy("n0", "2s"), "busy takes a core"),
    "kill a path": (lambda sim: sim.kill("root/counter"), r"kill takes what sim\.find"),
    "calm": (lambda sim: sim.calm(keep=["n0/0"]), "takes nodes, got the core n0/0"),
    "calm nobody": (lambda sim: sim.calm(keep=[7]), "a place is a node or a core"),
    "inject a line": (lambda sim: sim.inject("cut n0>n1"), "inject takes a fault"),
    "inject a kind": (lambda sim: sim.inject(f.cut()), "inject takes a fault"),
    "inject a frame": (lambda sim: sim.inject(f.once("loss", "n0/0>n1/0#5", at=0)), "by the plan only"),
    "skew": (lambda sim: sim.skew("n0/0", -2_000_000), "at least -900000"),
    "run for ever": (lambda sim: sim.run(float("inf")), "a duration is seconds"),
    "run ns": (lambda sim: sim.run(5 * 10**9), "a bare number is seconds: 5000000000 is 158 years; write a text"),
    "run years": (lambda sim: sim.run("9601h"), "'9601h' is more than a year: at most 400 days"),
    "run a text": (lambda sim: sim.run("5"), "or a number of seconds., got '5', a text without its unit"),
    "until ns": (
        lambda sim: sim.until(lambda: False, within=10**9),
        "a bare number is seconds: 1000000000 is 31 years",
    ),
    "eventually ns": (lambda sim: sim.eventually("x", lambda world: True, within=5e9), "5000000000.0 is 158 years"),
    "after ns": (lambda sim: sim.after(5 * 10**9, lambda: None), "a bare number is seconds"),
    "call ns": (lambda sim: sim.call("counter", Total(), timeout=10**9), "a bare number is seconds"),
    "read ns": (lambda sim: sim.connect(6380).read(1, within=10**9), "a bare number is seconds"),
    "busy ns": (lambda sim: sim.busy("n0/0", 10**9), "a bare number is seconds"),
    "run nan": (lambda sim: sim.run(float("nan")), "a duration is seconds"),
    "until with an argument": (lambda sim: sim.until(lambda world: True), "called with nothing"),
    "until True": (lambda sim: sim.until(True), "called with nothing"),
    "always True": (lambda sim: sim.always("x", True), "called with the simulation"),
    "always without an argument": (lambda sim: sim.always("x", lambda: True), "called with the simulation"),
    "always without a name": (lambda sim: sim.always(5, lambda world: True), "its name comes first"),
    "always at once": (lambda sim: sim.always("x", lambda world: True, every=0), "time has to pass"),
    "eventually": (lambda sim: sim.eventually("x", lambda: True), "called with the simulation"),
    "sometimes": (lambda sim: sim.sometimes(5, True), "its name comes first"),
    "sometimes a function": (lambda sim: sim.sometimes("x", lambda world: True), "whether it holds now"),
    "cut for a time": (lambda sim: sim.cut("n0", "n1", "30s"), "a cut stands until `sim.heal`"),
    "conserved": (lambda sim: sim.conserved("x", 5), "called with the simulation"),
    "after": (lambda sim: sim.after("1s", 5), "called with nothing"),
    "find a node": (lambda sim: sim.find("root/counter", node=7), "it has nodes 0 to 1"),
    "find from behind": (lambda sim: sim.find("root/counter", node=-1), "it has nodes 0 to 1"),
    "find a number": (lambda sim: sim.find(5), "find takes a path"),
    "isolates": (lambda sim: sim.isolates("Counter"), "takes the class"),
    "connect": (lambda sim: sim.connect("6380"), "connect takes a port"),
    "send text": (lambda sim: sim.connect(6380).send("text"), "send takes bytes"),
    "read nothing": (lambda sim: sim.connect(6380).read_until(b""), "at which to stop"),
    "reason": (lambda sim: sim.trace.undelivered(reason="stale"), "a word of Sent"),
    "model": (lambda sim: linearizable(sim.history(), cast("Any", Register)), r"such as Register\(\)"),
    "operations": (lambda sim: linearizable(cast("Any", [1]), Register()), "takes a history"),
    "ok": (lambda sim: sim.history().ok(5), "the operation that invoke gave"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_given_nonsense_says_what_it_takes(verb: str) -> None:
    act, mend = VERBS[verb]
    with Simulation(counting, nodes=2) as sim, pytest.raises(Misuse, match=mend):
        act(sim)


def test_a_place_of_another_world_is_refused() -> None:
    other = Simulation(counting)
    with Simulation(counting) as sim, pytest.raises(Misuse, match="none of this world"):
        sim.crash(other.nodes[0])


@pytest.mark.parametrize(
    "wrong", [{"settings": [1]}, {"settings": "a=1"}, {"core_restarts": 3}, {"core_restarts": "often"}]
)
def test_a_world_refuses_what_it_cannot_be_made_of(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=r"settings are texts|COUNT/PERIOD"):
        Simulation(counting, **wrong)


def test_what_is_refused_changes_no_operation() -> None:
    history = History(lambda: 0)
    read = history.invoke("client", "read")
    history.ok(read, 1)
    with pytest.raises(Misuse, match="an operation ends once"):
        history.ok(read, 2)
    assert read.taken == 1


def test_a_time_may_be_given_as_a_text_wherever_a_client_waits() -> None:
    with Simulation(counting, nodes=2) as sim:
        sim.pause("n0")
        asked = sim.client.begin("counter", Total(), timeout="250ms")  # type: ignore[arg-type]
        sim.until(lambda: asked.done)
        with pytest.raises(Exception, match=r"no answer in time \(0.25 s\)"):
            asked.value  # noqa: B018
    assert duration("250ms") == duration(0.25)


def test_the_busy_one_may_be_named_by_its_path() -> None:
    with Simulation(counting) as sim:
        sim.busy("root/counter", "500ms")
        before = sim.now
        assert sim.call("counter", Total()) == 10
        assert sim.now - before >= duration("500ms")


def test_a_fault_by_hand_counts_as_one_that_was_planned_and_says_whether_it_broke_anything() -> None:
    with Simulation(counting, nodes=2) as sim:
        assert sim.inject(f.once("cut", "n0>n1", at=0, lasts="1s"))
        assert not sim.inject(f.once("crash-isolate", "n0/0:root/nobody", at=0))
        sim.run("2s")
        counts = {what: (count.armed, count.fired) for what, count in sim.plan.counts.items()}
        assert counts == {"cut": (1, 1), "crash-isolate": (1, 0)}


def test_an_isolate_to_crash_by_hand_need_not_be_named() -> None:
    with Simulation(counting) as sim:
        before = sim.find("root/counter").incarnation
        assert sim.inject(f.once("crash-isolate", "n0/0", at=0))
        sim.settle()
        assert sim.find("root/counter").incarnation == before + 1
        assert sim.plan.entries == []
