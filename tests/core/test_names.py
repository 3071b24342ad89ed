"""Names and groups on one core, and what is replicated."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    AlreadyStarted,
    Application,
    BoundReached,
    Bounds,
    Child,
    Misuse,
    Name,
    Place,
    Sent,
    Shutdown,
    SpecError,
    StartFailed,
    Supervisor,
)
from regrove.node.core.ports import NamesChanged, Stopped
from tests.core.bench import Bench, script


def test_a_name_is_unique_on_its_core_and_free_again_when_its_holder_ends() -> None:
    answers: list[Any] = []

    def take(self: Any, ctx: Any, _: Any) -> Any:
        answers.append(ctx.register("x"))

    bench = Bench(
        Child("a", script(go=take, fail=lambda s, c, _: 1 / 0)),
        Child("b", script(go=take)),
    )
    for path in ("root/a", "root/b", "root/a"):
        bench.tell(path, "go")
    bench.tell("root/a", "fail")
    bench.tell("root/b", "go")
    assert answers == [True, False, True, True]


def test_a_name_is_released_before_the_down_goes_out() -> None:
    seen: list[Any] = []
    bench = Bench(
        Child("a", script(fail=lambda s, c, _: 1 / 0), restart="temporary", name="a"),
        Child(
            "w",
            script(
                go=lambda s, ctx, _: ctx.monitor("a") and None,
                Down=lambda s, ctx, _: seen.append((ctx.whereis("a"), ctx.register("a"))),
            ),
        ),
    )
    bench.tell("root/w", "go")
    bench.tell("root/a", "fail")
    assert seen == [(None, True)]


def test_a_child_whose_name_is_held_fails_to_start() -> None:
    bench = Bench(Child("a", script(), name="x"), Child("b", script(), name="x"))
    (stopped,) = [entry for entry in bench.control if isinstance(entry, Stopped)]
    assert isinstance(stopped.reason, Shutdown)
    assert isinstance(stopped.reason.detail, StartFailed)
    assert isinstance(stopped.reason.detail.reason, AlreadyStarted)


def test_an_application_refuses_a_tree_that_gives_a_name_twice() -> None:
    children = [Child("a", script(), name="x"), Child("b", script(), name="x")]
    with pytest.raises(SpecError, match="'x'"):
        Application("t", tree=lambda place: Supervisor("root", children)).build(Place("n@h", 0, 1))


def test_a_name_nobody_holds_is_stale() -> None:
    answers: list[Any] = []
    bench = Bench(Child("a", script(go=lambda s, ctx, _: answers.append(ctx.send("nobody", 1)))))
    bench.tell("root/a", "go")
    assert answers == [Sent.STALE]


def test_a_name_on_an_unknown_node_is_unreachable() -> None:
    answers: list[Any] = []
    bench = Bench(Child("a", script(go=lambda s, ctx, _: answers.append(ctx.send(Name("x", node="z@h"), 1)))))
    bench.tell("root/a", "go")
    assert answers == [Sent.UNREACHABLE]


@pytest.mark.parametrize("name", ["", 3, None])
def test_a_bad_name_is_misuse(name: Any) -> None:
    caught: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        for action in (ctx.register, ctx.join):
            with pytest.raises(Misuse):
                action(name)
            caught.append(action)

    Bench(Child("a", script(start=start)))
    assert len(caught) == 2


def test_names_are_bounded() -> None:
    caught: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        ctx.register("one")
        with pytest.raises(BoundReached):
            ctx.register("two")
        caught.append(True)

    Bench(Child("a", script(start=start)), bounds=Bounds(names=1))
    assert caught == [True]


def test_members_of_a_group_get_what_is_published_until_they_leave_or_end() -> None:
    log: list[Any] = []
    member = {"join": lambda s, ctx, _: ctx.join("g"), "leave": lambda s, ctx, _: ctx.leave("g")}
    counts: list[Any] = []
    bench = Bench(
        *[Child(n, script(log, **member, fail=lambda s, c, _: 1 / 0)) for n in ("a", "b", "c")],
        Child("p", script(go=lambda s, ctx, _: counts.append(ctx.publish("g", f"news {len(counts)}")))),
    )
    for path in ("root/a", "root/b", "root/c", "root/a"):
        bench.tell(path, "join")
    bench.tell("root/p", "go")
    bench.tell("root/a", "leave")
    bench.tell("root/b", "fail")
    bench.tell("root/p", "go")
    assert counts == [3, 1]
    assert log == ["news 0"] * 3 + ["news 1"]


def test_changes_are_told_to_the_manager_once_a_pass() -> None:
    def both(self: Any, ctx: Any, _: Any) -> None:
        ctx.register("x")
        ctx.join("g")

    bench = Bench(Child("a", script(go=both)))
    before = len(bench.control)
    bench.tell("root/a", "go")
    cell = bench.cell("root/a")
    assert bench.control[before:] == [
        NamesChanged("n@h", 0, ("x",), (("g", ((cell.address.slot, cell.address.generation),)),))
    ]
