"""Births at every bound, and what tables hold after thousands of lives."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from regrove import (
    DONE,
    RECEIVE,
    Await,
    Bounds,
    Call,
    Child,
    DynamicSupervisor,
    Failed,
    Isolate,
    Kill,
    Name,
    Replied,
    Reply,
    Sleep,
    SpawnRefused,
    Supervisor,
    message,
)
from regrove.node.core.reasons import Busy, Timeout
from regrove.supervisor.requests import CountChildren, GetSpec, StartChild, TerminateChild
from tests.core.bench import Bench, script
from tests.core.pair import Pair


class Zero(Isolate):
    mailbox_capacity = 0


class Text(Isolate):
    mailbox_capacity = "many"  # type: ignore[assignment]


class Slow(Isolate):
    def start(self, ctx: Any) -> Any:
        return Await(timeout=None, then=self.over)

    def over(self, ctx: Any, outcome: Any) -> Any:
        return RECEIVE


class Idle(Isolate):
    pass


class Pausing(Isolate):
    """Its start takes three seconds."""

    def start(self, ctx: Any) -> Any:
        return Sleep(3, then=lambda ctx, outcome: RECEIVE)


class Born(Isolate):
    lives: ClassVar[list[Any]] = []

    def start(self, ctx: Any) -> Any:
        self.lives.append((ctx.path, ctx._cell.incarnation))
        return RECEIVE


def pool(**options: Any) -> DynamicSupervisor:
    return DynamicSupervisor("pool", name="pool", **options)


def spawning(log: list[Any], make: Any, **steps: Any) -> Any:
    return script(log, go=lambda s, c, m: log.append(c.spawn(make(), under="pool")), **steps)


@pytest.mark.parametrize("kind", [Zero, Text])
def test_a_capacity_that_is_none_is_a_failed_start_and_costs_no_place(kind: Any) -> None:
    log: list[Any] = []
    bench = Bench(pool(), Child("a", spawning(log, lambda: Child("x", kind, restart="temporary"))))
    before = bench.core.lifecycle.isolates
    bench.tell("root/a", "go")
    assert log
    assert bench.core.lifecycle.isolates == before
    assert not bench.alive("root/pool/x")


def test_a_name_past_the_bound_refuses_the_child_and_harms_no_core() -> None:
    log: list[Any] = []
    bench = Bench(
        pool(),
        Child("a", spawning(log, lambda: Child("x", Idle, name="two"), ask=lambda s, c, m: Call("pool", m))),
        Child("s", script(log, go=lambda s, c, m: Call("pool", StartChild(Child("y", Idle, name="three"))))),
        Child("t", script(log, go=lambda s, c, m: Call("pool", StartChild(Supervisor("z", [], name="four"))))),
        bounds=Bounds(names=1),
    )
    cells = sum(cell is not None for cell in bench.core.cells)
    bench.tell("root/a", "go")
    assert log.pop() == SpawnRefused(Busy())
    for path in ("root/s", "root/t"):
        bench.tell(path, "go")
        (outcome,) = log
        assert isinstance(outcome, Replied)
        assert not bench.alive("root/pool/y")
        log.clear()
    assert sum(cell is not None for cell in bench.core.cells) == cells
    assert bench.core.counters.bounds_reached == 3


def test_supervisors_are_bounded_like_isolates() -> None:
    log: list[Any] = []
    bench = Bench(
        pool(),
        Child("t", script(log, go=lambda s, c, m: Call("pool", StartChild(Supervisor("z", []))))),
        bounds=Bounds(isolates=4),
    )
    for _ in range(6):
        bench.tell("root/t", "go")
    answers = [isinstance(getattr(outcome.value, "reason", None), Busy) for outcome in log]
    assert answers == [False, False, True, True, True, True]


def test_a_start_timeout_holds_for_a_spawned_child_too() -> None:
    log: list[Any] = []
    bench = Bench(pool(), Child("a", spawning(log, lambda: Child("x", Slow, start_timeout=1, restart="temporary"))))
    bench.tell("root/a", "go")
    assert bench.alive("root/pool/x")
    bench.advance(1.5)
    assert not bench.alive("root/pool/x")


def test_a_start_timeout_of_a_spawned_child_that_started_kills_nobody() -> None:
    log: list[Any] = []
    bench = Bench(pool(), Child("a", spawning(log, lambda: Child("x", Idle, start_timeout=1, restart="temporary"))))
    bench.tell("root/a", "go")
    assert len(bench.core.timers) == 0
    bench.advance(3)
    assert bench.alive("root/pool/x")


def test_spawn_under_a_supervisor_that_stops_is_refused() -> None:
    log: list[Any] = []

    def late(self: Any, ctx: Any, _: Any) -> Any:
        log.append(ctx.spawn(Child("x", Idle)))
        return DONE

    bench = Bench(
        Supervisor(
            "sub",
            [
                Child(
                    "w",
                    script(
                        log,
                        stop=lambda s, c, m: Sleep(1),
                        Slept=late,
                    ),
                    shutdown=10,
                )
            ],
        ),
        Child("t", script(go=lambda s, c, m: Call("top", TerminateChild("sub"), timeout=None))),
        name="top",
    )
    bench.tell("root/t", "go")
    bench.advance(3)
    assert [bool(entry) for entry in log] == [False]
    assert not bench.alive("root/sub")


def test_thousands_of_children_with_ids_of_their_own_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrove.node.core.supervisor_node.LIVES_REMEMBERED", 50)
    lives: list[Any] = []

    def born(self: Any, ctx: Any, _: Any) -> Any:
        lives.append((ctx.path, ctx._cell.incarnation))
        return DONE

    def go(self: Any, ctx: Any, count: int) -> Any:
        for number in range(100):
            ctx.spawn(Child(f"c{number}", script(start=born), restart="temporary"), under="pool")

    bench = Bench(pool(), Child("a", script(go=go)))
    for _ in range(5):
        bench.tell("root/a", "go")
    assert len(lives) == len(set(lives)) == 500
    node = bench.cell("root/pool").supervising
    assert node is not None
    assert len(node.lives.count) <= 50
    assert (node.living(), node.alive) == ([], 0)
    assert len(bench.core.cells) <= 103


def test_supervisors_that_come_and_go_leave_nothing_behind_and_no_life_has_a_number_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("regrove.node.core.supervisor_node.LIVES_REMEMBERED", 5)
    Born.lives.clear()
    lives = Born.lives

    def go(self: Any, ctx: Any, message: Any) -> Any:
        self.kept = (self.kept or 0) + 1
        spec = Supervisor(f"s{self.kept % 20}", [Child("w", Born)])
        return Call("pool", StartChild(spec))

    def stop(self: Any, ctx: Any, replied: Any) -> Any:
        if replied.value is not True:
            return Call("pool", TerminateChild(replied.value))
        return RECEIVE

    bench = Bench(pool(), Child("a", script(go=go, Replied=stop)))
    for _ in range(60):
        bench.tell("root/a", "go")
    assert len(lives) == len(set(lives)) == 60
    node = bench.cell("root/pool").supervising
    assert node is not None
    assert len(node.lives.below) <= 5


def test_a_spec_that_does_not_travel_is_an_answered_error_and_harms_no_core() -> None:
    log: list[Any] = []
    ask = script(log, go=lambda s, c, m: Call(Name("top", core=1), GetSpec("w")))
    pair = Pair(
        [Child("a", ask)],
        [Supervisor("sub", [Child("w", script())], name="top")],
    )
    pair.tell(pair.a, "root/a", "go")
    (outcome,) = log
    assert isinstance(outcome, Replied | Failed)
    assert outcome != Failed(Timeout())


@message(name="tests.births.Odd")
class Odd:
    value: Any = None


@pytest.mark.parametrize(
    "request_",
    [TerminateChild([1]), GetSpec({"a": 1}), "junk", Odd([1]), StartChild(5), None],  # type: ignore[arg-type]
    ids=["list", "dict", "text", "message", "number", "none"],
)
def test_an_odd_request_to_a_supervisor_is_answered(request_: Any) -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(log, go=lambda s, c, m: Call("top", request_))), name="top")
    bench.tell("root/a", "go")
    assert len(log) == 1
    assert isinstance(log[0], Replied)


def test_an_expired_request_to_a_supervisor_is_not_started() -> None:
    log: list[Any] = []

    bench = Bench(
        Supervisor("sub", [], name="sub"),
        Child("a", script(log, go=lambda s, c, m: Call("sub", StartChild(Child("slow", Pausing))))),
        Child("b", script(log, go=lambda s, c, m: Call("sub", StartChild(Child("late", Idle)), timeout=1))),
        Child("c", script(log, go=lambda s, c, m: Call("sub", CountChildren(), timeout=None))),
    )
    for path in ("root/a", "root/b", "root/c"):
        bench.core.inject(bench.address(path), "go")
    bench.settle()
    bench.advance(5)
    assert not bench.alive("root/sub/late")
    assert [type(entry) for entry in log] == [Failed, Replied, Replied]
    node = bench.cell("root/sub").supervising
    assert node is not None
    assert node.requests == {}


def test_groups_and_members_at_their_bounds_are_counted() -> None:
    log: list[Any] = []

    def join(self: Any, ctx: Any, _: Any) -> Any:
        for group in ("one", "two"):
            try:
                ctx.join(group)
            except Exception as error:
                log.append(str(error))

    bench = Bench(Child("a", script(join=join)), Child("b", script(join=join)), bounds=Bounds(groups=1, members=1))
    for path in ("root/a", "root/b"):
        bench.tell(path, "join")
    assert [text.split(" = ")[0] for text in log] == ["bound groups", "bound members", "bound groups"]
    assert bench.core.counters.bounds_reached == 3


def test_names_are_free_again_in_the_instant_their_holder_is_gone() -> None:
    log: list[Any] = []

    def down(self: Any, ctx: Any, message: Any) -> Any:
        log.append(ctx.register("it"))

    bench = Bench(
        Child("a", script(), name="it", restart="temporary"),
        Child("w", script(log, Down=down, start=lambda s, c, m: c.monitor("it") and None)),
        Child("k", script(go=lambda s, c, m: c.exit("it", Kill()))),
    )
    bench.tell("root/k", "go")
    assert log == [True]
    holder = bench.core.registry.holder("it")
    assert holder == bench.address("root/w")


def test_a_start_may_register_join_and_monitor_and_all_is_released_when_it_fails() -> None:
    log: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        ctx.register("mine")
        ctx.join("ours")
        ctx.monitor("w")
        ctx.send_after(10, "later")
        raise ValueError("no")

    bench = Bench(
        pool(),
        Child("w", script(log), name="w"),
        Child("a", spawning(log, lambda: Child("x", script(start=start), restart="temporary"))),
    )
    bench.tell("root/a", "go")
    core = bench.core
    assert core.registry.holder("mine") is None
    assert core.registry.members("ours") == []
    assert not bench.cell("root/w").watchers
    assert len(core.timers) == 0


def test_an_answer_from_a_started_child_comes() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(log, go=lambda s, c, m: Call("b", "ask"))),
        Child("b", script(start=lambda s, c, m: RECEIVE, ask=lambda s, c, m: Reply(1)), name="b"),
    )
    bench.tell("root/a", "go")
    assert log == [Replied(1)]


@message(name="tests.births.Basket")
class Basket:
    items: list[Any]


class Spoiling(Isolate):
    """Changes what it was given, and fails."""

    seen: ClassVar[list[Any]] = []

    def __init__(self, given: Any) -> None:
        self.given = given[0] if isinstance(given, tuple) else given.items if isinstance(given, Basket) else given
        self.seen.append(list(self.given))

    def handle(self, ctx: Any, message: Any) -> Any:
        self.given.append(message)
        raise ValueError("spoilt")


@pytest.mark.parametrize("given", [["new"], (["new"],), Basket(["new"])], ids=["list", "tuple", "message"])
def test_every_life_gets_the_arguments_as_the_spec_has_them(given: Any) -> None:
    Spoiling.seen.clear()
    bench = Bench(Child("a", Spoiling, given), intensity=5)
    bench.tell("root/a", "old")
    assert Spoiling.seen == [["new"], ["new"]]


def test_arguments_that_do_not_travel_are_handed_over_as_they_are() -> None:
    class Holding(Isolate):
        def __init__(self, given: Any) -> None:
            self.given = given

    bench = Bench(Child("a", Holding, (len, {1})))
    assert bench.isolate("root/a").given == (len, {1})


class Remembering(Isolate):
    seen: ClassVar[list[Any]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append((args, kwargs))

    def handle(self, ctx: Any, message: Any) -> Any:
        raise ValueError("again")


def test_no_life_of_a_spawned_child_shares_what_its_spawner_changes_later() -> None:
    Remembering.seen.clear()

    def go(self: Any, ctx: Any, _: Any) -> Any:
        items, named = ["first"], ["second"]
        ctx.spawn(Child("x", Remembering, items, kwargs={"named": named}, name="x"), under="pool")
        items.append("late")
        named.append("late")

    bench = Bench(pool(extra_arguments=("extra",)), Child("a", script(go=go)))
    bench.tell("root/a", "go")
    bench.tell("root/pool/x", "fail")
    assert Remembering.seen == [(("extra", ["first"]), {"named": ["second"]})] * 2
