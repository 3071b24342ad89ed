"""The audit of seeds under pytest, and its parts."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from regrove.node.simulation.auditing import auditor
from regrove.node.simulation.auditing.lines import Row, parting
from regrove.node.simulation.auditing.values import told
from regrove.node.simulation.auditing.variants import answer_of, read_orders
from regrove.node.simulation.plugin import _settings
from regrove.testing import first_difference
from tests.simulation.leaks.planting import Seen, Thing

ROOT = Path(__file__).parents[2]
AUDITED = """
import random
from regrove import RECEIVE, Application, Child, Isolate, Supervisor
from regrove.testing import simulate
from tests.simulation.leaks.planting import Seen, Sink, Tick


class Clean(Isolate):
    known = ("ash", "fir", "elm", "oak", "yew")

    def start(self, ctx):
        ctx.send_every(0.01, Tick())
        return RECEIVE

    def read(self, ctx):
        return sorted(set(self.known))

    def handle(self, ctx, message):
        ctx.send("sink", Seen(str(self.read(ctx))))
        return RECEIVE


class Unsorted(Clean):
    def read(self, ctx):
        return list(set(self.known))


class Rolling(Clean):
    def read(self, ctx):
        return random.random()


def app(kind):
    children = [Child("sink", Sink, name="sink"), Child("a", kind)]
    return Application("app", tree=lambda place: Supervisor("root", children))


@simulate(app=app(Clean), seeds=4)
def test_clean(sim, tmp_path):
    random.random()  # the test is no part of the run
    assert tmp_path.exists()
    sim.run("50ms")


@simulate(app=app(Unsorted), seeds=1)
def test_unsorted(sim):
    sim.run("50ms")


@simulate(app=app(Rolling), seeds=1)
def test_rolling(sim):
    sim.run("50ms")
"""


PARAMETRISED = (
    AUDITED.partition("@simulate")[0]
    + """
import pytest


class ByKind(Isolate):
    def start(self, ctx):
        self.kind = ctx.place.settings.get("kind")
        ctx.send_every(0.01, Tick())
        return RECEIVE

    def handle(self, ctx, message):
        if message == "roll":
            return self.roll(ctx)
        return RECEIVE

    def roll(self, ctx):
        ctx.send("sink", Seen(str(random.random())))
        return RECEIVE


@pytest.mark.parametrize("often", [1, 2])
@simulate(app=Application("app", tree=lambda place: Supervisor("root", [
    Child("sink", Sink, name="sink"), Child("a", ByKind, name="a")])), seeds=1)
@pytest.mark.parametrize("what", ["roll", "rest"])
def test_by_parameter(sim, what, often):
    for _ in range(often):
        sim.send("a", what)
    sim.run("50ms")
"""
)


def audited(folder: Path, *options: str, program: str = AUDITED) -> str:
    (folder / "test_audited.py").write_text(program)
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
            "--rootdir", str(folder), *options, str(folder / "test_audited.py"),
        ],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.stdout


def line_of(text: str) -> int:
    return AUDITED.splitlines().index(text) + 1


def test_pytest_names_the_lines_of_seeds_it_audits_and_passes_what_is_clean(tmp_path: Path) -> None:
    output = audited(tmp_path, "--sim-audit", "--sim-audit-every", "3")
    assert "During handling of" not in output
    assert "raise NotDeterministic" not in output
    assert "2 failed, 4 passed" in output
    place = f"test_audited.py:{line_of('        return list(set(self.known))')}: what is returned in Unsorted.read"
    assert f"{place} is not the same under another hash seed" in output
    place = f"test_audited.py:{line_of('        return random.random()')}: random.random reads chance"
    assert place in output
    told = [line for line in output.splitlines() if line.startswith("audited ")]
    what = "4 twice in one process and 2 in other processes, all the same"
    assert told == [f"audited test_audited.py::test_clean: seeds run again: {what}"]


def test_how_many_seeds_are_audited_implies_that_they_are(tmp_path: Path) -> None:
    output = audited(tmp_path, "--sim-audit-every", "4", "-k", "rolling")
    assert "random.random reads chance" in output, output
    output = audited(tmp_path, "--sim-audit-every", "0", "-k", "clean")
    assert "audited" not in output.replace("test_audited", "")
    output = audited(tmp_path, "--sim-audit-every", "0", "--sim-audit", "-k", "clean")
    assert "test_clean: seeds run again: 4 twice in one process, all the same" in output


def test_each_item_of_a_parametrised_test_is_audited_with_its_own_parameters(tmp_path: Path) -> None:
    output = audited(tmp_path, "--sim-audit", "--sim-audit-every", "1", "--sim-shrink", "0", program=PARAMETRISED)
    failed = [line.partition("[")[2].partition("]")[0] for line in output.splitlines() if line.startswith("FAILED")]
    assert "2 failed, 2 passed" in output, output
    assert all("roll" in item for item in failed)
    assert "random.random reads chance" in output


@pytest.mark.parametrize("compiled", [False, True])
def test_a_verdict_without_a_line_says_so_where_the_runtime_is_compiled(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(hash_seed: str, orders: Path) -> None:
        """As a run of which nothing is seen does: no line, and another digest under another hash seed."""
        for order in read_orders(orders):
            answer = {"digest": hash_seed, "error": "", "findings": [], "rows": []}
            answer_of(order, orders.parent).write_text(json.dumps(answer))
            answer_of(order, orders.parent).with_suffix(".trace").write_text("{}\n")

    monkeypatch.setattr(auditor, "is_compiled", lambda: compiled)
    (verdict,) = auditor.audit([("", 3)], launch)
    assert "it is not the same under another hash seed" in str(verdict)
    assert ("no line can be named: the runtime is compiled here" in str(verdict)) is compiled


def test_without_the_option_nothing_is_audited(tmp_path: Path) -> None:
    assert "FAILED" not in audited(tmp_path, "-k", "unsorted or rolling")


# --- its parts -------------------------------------------------------------------------------------------------------


def row(line: int, then: int = 0, **values: str) -> Row:
    return Row("a.py", line, "f", then, values)


def test_records_that_are_equal_do_not_part() -> None:
    assert parting([row(1, 2, x="1")], [row(1, 2, x="1")]) is None


@pytest.mark.parametrize(
    ("other", "line", "what"),
    [
        ([row(1, 2, x="1"), row(2, 3, y="5")], 2, "y"),
        ([row(1, 2, x="1"), row(2, 7, y="4")], 2, "which line runs next"),
        ([row(1, 2, x="1"), row(9, 9), row(2, 3, y="4")], 9, "whether it runs now"),
        ([row(1, 2, x="1"), row(2, 3, y="4"), row(3)], 3, "how often it runs"),
    ],
)
def test_records_part_at_the_first_row_that_differs(other: list[Row], line: int, what: str) -> None:
    found = parting([row(1, 2, x="1"), row(2, 3, y="4")], other)
    assert found is not None
    assert (found[0].line, found[1]) == (line, what)


def test_a_value_is_told_by_what_it_holds_and_never_by_its_address() -> None:
    thing = Thing(3)
    assert told([thing, {"a": (1, 2.5)}]) == told([Thing(3), {"a": (1, 2.5)}])
    assert told(thing) != told(Thing(4))
    assert told({"b", "a", "c"}) == told({"c", "b", "a"})
    assert told({"a": 1, "b": 2}) != told({"b": 2, "a": 1})
    assert told(weakref.ref(thing)) == "ReferenceType"
    assert told(Seen("x")) == "Seen(text='x':1)"


def test_a_circle_of_values_is_told_to_a_depth() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert told(circle) == "list(list(list(list(list,1),1),1),1)"


def test_no_difference_between_a_trace_and_itself() -> None:
    assert first_difference([], []) is None


def test_an_audit_is_started_with_the_settings_of_the_run() -> None:
    given = ["-q", "-p", "no:x", "tests/test_a.py", "-o", "a=b", "-Werror", "--import-mode=append", "-k", "some"]
    assert _settings(given) == ["-p", "no:x", "-o", "a=b", "-Werror", "--import-mode=append"]
