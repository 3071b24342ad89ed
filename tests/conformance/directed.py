"""The scripts of the campaign: most are drawn freely, one in sixteen begins with what is else too rare."""

from __future__ import annotations

from typing import Any

from tests.conformance.scripts import GAP, NEVER, PERIOD, Author, Batch, Leaf, Script, Tree

EVERY = 16


class Director(Author):
    """Writes a script whose first batches are given; the rest is drawn."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.timed = self.mannered = self.nested = False

    def direct(self, shape: int) -> Script:
        top, batches = SHAPES[shape % len(SHAPES)](self)
        return self.script(top, tuple(Batch(gap, "s0", steps) for gap, steps in batches))

    def stage(self, flags: dict[str, Any], *children: Leaf | Tree, **outcomes: tuple[str, ...]) -> Tree:
        top = self.supervisors["s0"] = Tree("s0", {"period": NEVER, "intensity": 5} | flags, children)
        self.ids["s0"] = [*(child.id for child in children), "y"]
        self.outcomes |= {"y": ("up",)} | outcomes
        return top


Steps = list[tuple[int, tuple[tuple[Any, ...], ...]]]


def significant(id: str, restart: str = "transient") -> Leaf:
    return Leaf(id, {"restart": restart, "significant": True})


def one_is_restarting(author: Director) -> tuple[Tree, Steps]:
    """all_significant: the other significant child ends while this one's restart fails."""
    outcomes = ("up", *(["fail"] * author.draws.number(1, 3)), "up")
    flags = {"auto_shutdown": "all_significant"}
    top = author.stage(flags, significant("a"), significant("b"), a=outcomes)
    then = author.draws.pick(("normal", "boom"))
    return top, [(0, (("exit", "a", "boom"), ("exit", "b", "normal"))), (0, (("exit", "a", then),))]


def restart_of_a_child_that_is_down(author: Director) -> tuple[Tree, Steps]:
    outcomes = ("up", author.draws.pick(("fail", "ignore", "up")), author.draws.pick(("fail", "up")))
    top = author.stage({}, Leaf("a", {}), Leaf("b", {"restart": author.restart()}), b=outcomes)
    again = ("call", "restart", "b")
    return top, [(0, (("call", "terminate", "b"), again)), (0, (again, ("call", "delete", "b"), ("call", "which")))]


def start_of_a_new_child(author: Director) -> tuple[Tree, Steps]:
    outcomes = (author.draws.pick(("fail", "ignore", "ignore")), author.draws.pick(("up", "fail")))
    top = author.stage({}, Leaf("a", {}), y=outcomes)
    start = ("call", "start", Leaf("y", {"restart": author.restart()}))
    return top, [(0, (start, ("call", "which"))), (0, (start, ("call", "restart", "y")))]


def a_window_that_moves_on(author: Director) -> tuple[Tree, Steps]:
    most = author.draws.number(1, 2)
    flags = {"period": PERIOD, "intensity": most, "strategy": author.draws.pick(("one_for_one", "one_for_all"))}
    top = author.stage(flags, Leaf("a", {}), Leaf("b", {}))
    crashes = tuple((0, (("exit", "a", "boom"),)) for _ in range(most))
    after = (GAP, (("exit", "b", "boom"),))
    return top, [*crashes, after, *(crashes if author.draws.chance(0.5) else ())]


def a_significant_child_ignores(author: Director) -> tuple[Tree, Steps]:
    flags = {
        "strategy": author.draws.pick(("one_for_all", "rest_for_one")),
        "auto_shutdown": author.draws.pick(("any_significant", "all_significant")),
    }
    top = author.stage(flags, Leaf("a", {}), significant("b"), Leaf("c", {}), b=("up", "ignore", "up"))
    crash = (("exit", "a", "boom"),)
    return top, [(0, crash), (0, (("call", "terminate", "b"),)), (0, crash), (0, (("call", "terminate", "b"),))]


def a_supervisor_below_gives_up(author: Director) -> tuple[Tree, Steps]:
    restart = author.draws.pick(("permanent", "transient", "temporary"))
    below = Tree("s1", {"period": NEVER, "intensity": 0}, (Leaf("a", {}), Leaf("b", {})), {"restart": restart})
    strategy = author.draws.pick(("one_for_one", "one_for_all", "rest_for_one"))
    top = author.stage({"strategy": strategy}, Leaf("c", {}), below, Leaf("d", {}))
    author.supervisors["s1"] = below
    author.ids["s1"] = ["a", "b", "z"]
    author.outcomes |= {"z": ("up",)}
    return top, [(0, (("exit", "b", "boom"),)), (0, (("call", "which"), ("call", "restart", "s1")))]


def two_at_once(author: Director) -> tuple[Tree, Steps]:
    top = author.stage({"strategy": "rest_for_one"}, Leaf("a", {}), Leaf("b", {}), Leaf("c", {"restart": "transient"}))
    first, second = author.draws.pick((("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")))
    return top, [(0, (("exit", first, "boom"), ("exit", second, "boom"), ("call", "which")))]


def a_restarting_child_is_spoken_to(author: Director) -> tuple[Tree, Steps]:
    fails = ("up", *(["fail"] * author.draws.number(1, 3)), "up")
    strategy = author.draws.pick(("one_for_one", "one_for_all", "rest_for_one"))
    top = author.stage({"strategy": strategy}, Leaf("a", {}), Leaf("b", {}), Leaf("c", {}), b=fails)
    calls = tuple(("call", author.draws.pick(("terminate", "restart", "delete")), "b") for _ in range(2))
    return top, [(0, (("exit", "b", "boom"), *calls, ("call", "which"))), (0, (("call", "restart", "b"),))]


SHAPES = (
    one_is_restarting,
    restart_of_a_child_that_is_down,
    start_of_a_new_child,
    a_window_that_moves_on,
    a_significant_child_ignores,
    a_supervisor_below_gives_up,
    two_at_once,
    a_restarting_child_is_spoken_to,
)


def script(number: int) -> Script:
    """The script of a number: the same one for ever, or the stored answers are worth nothing."""
    if number % EVERY == 0:
        return Director(number).direct(number // EVERY)
    return Author(number).write()
