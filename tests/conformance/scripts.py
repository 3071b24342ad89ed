"""Scripts for the judge: trees, what their children come to, and what is done to them, drawn from a number.

Times are milliseconds. A batch is done while its supervisor is suspended, so that what is in it is simultaneous, and is
about that supervisor: its calls, its end, and the ends of what is below it. Gaps are far below the period or above it
by more than a second (OTP counts whole seconds). Only `random.random` is used: it gives the same numbers in every
version of Python, so that a stored answer stays the answer to its script.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

REASONS = ("boom", "boom", "normal", "shutdown", "{shutdown,why}", "kill")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
SLOW = 150  # what a slow stop takes
SHORT, LONG = 30, 3_000  # limits that a slow stop exceeds, and does not
PERIOD, GAP = 2_000, 3_300
NEVER = 3_600_000  # the period of scripts in which time does not matter


@dataclass(frozen=True, slots=True)
class Leaf:
    """A worker; `options` holds what its spec gives, `manner` how it takes being asked to stop."""

    id: str
    options: dict[str, Any]
    manner: str = "obey"


@dataclass(frozen=True, slots=True)
class Tree:
    """A static supervisor; `options` are those of a child."""

    id: str
    flags: dict[str, Any]
    children: tuple[Leaf | Tree | Pool, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pool:
    """A dynamic supervisor (simple_one_for_one): all its children have the options and the manner of `template`."""

    id: str
    flags: dict[str, Any]
    template: Leaf
    options: dict[str, Any] = field(default_factory=dict)


AnySpec = Leaf | Tree | Pool


@dataclass(frozen=True, slots=True)
class Batch:
    """`steps` on supervisor `target`, after `gap`."""

    gap: int
    target: str
    steps: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Script:
    """`outcomes` are those of each id's starts, one after the other; `end` is the reason the top is stopped with."""

    number: int
    top: Tree | Pool
    outcomes: dict[str, tuple[str, ...]]
    batches: tuple[Batch, ...]
    end: str
    takes_time: bool


class Draws:
    """Choices in the order they are asked for."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self._random.random() * len(values))]

    def number(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high + 1 - low))


class Author:
    """Writes one script."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.draws = Draws(number)
        kind = self.draws.number(0, 99)
        self.timed = kind < 10
        self.mannered = 10 <= kind < 26  # a killed supervisor and children that trap exits: where we differ
        self.nested = self.draws.chance(0.45)
        self.letters = iter("abcdefghijklmnopqrstuvwxyz" * 4)
        self.supervisors: dict[str, Tree | Pool] = {}
        self.ids: dict[str, list[str]] = {}  # per supervisor: the ids that steps speak of
        self.below: dict[str, list[str]] = {}  # per supervisor: what lives further down
        self.outcomes: dict[str, tuple[str, ...]] = {}
        self.born = 0

    def write(self) -> Script:
        top = self.pool(None) if self.draws.chance(0.1) else self.tree(None, 0)
        if self.draws.chance(0.02) and isinstance(top, Tree):
            top = self.spoilt(top)
        return self.script(top, ())

    def script(self, top: Tree | Pool, first: tuple[Batch, ...]) -> Script:
        """A script of `top`: the batches `first`, and others that are drawn."""
        drawn = tuple(self.batch(top) for _ in range(self.draws.pick((0, 2, 3, 4, 5, 6, 8, 10))))
        batches = first + drawn
        ends = ("shutdown", "shutdown", "boom", "normal", "{shutdown,why}")
        end = self.draws.pick(ends if self.mannered else (*ends, "kill"))
        slow = self.mannered or any(batch.gap for batch in batches)
        return Script(self.number, top, self.outcomes, batches, end, slow)

    # Specs.

    def restart(self) -> str:
        return self.draws.pick(("permanent", "permanent", "transient", "temporary"))

    def options(self, counts: bool, worker: bool) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.draws.chance(0.9):
            options["restart"] = self.restart()
        if counts and options.get("restart", "permanent") != "permanent" and self.draws.chance(0.5):
            options["significant"] = True
        if worker and self.draws.chance(0.7):
            options["shutdown"] = self.draws.pick(("brutal_kill", "infinity", "infinity", LONG))
        return options

    def leaf(self, id: str, counts: bool, above: str = "") -> Leaf:
        options, manner = self.options(counts, worker=True), "obey"
        if self.mannered and self.draws.chance(0.5):
            manner = self.draws.pick(("slow", "slow", "stuck", "odd", "leave"))
            limits = ("brutal_kill", SHORT) if manner == "stuck" else ("brutal_kill", SHORT, LONG, "infinity")
            options["shutdown"] = self.draws.pick(limits)
        self.give_outcomes(id, above)
        return Leaf(id, options, manner)

    def give_outcomes(self, id: str, above: str, sure: float = 0.92) -> None:
        """Decide what comes of the starts of `id`; `sure` is the share of first starts that succeed.

        Two things are not drawn.

        - Below another supervisor nobody dies at once: it is dealt with while that other one goes on, in no order.
        - A dynamic child that ignores a restart is forgotten, as in Elixir; OTP keeps it.
        """
        if id in self.outcomes:
            return
        possible = ["up", "up", "up", "fail", "fail"]
        if not isinstance(self.supervisors.get(above), Pool):
            possible.append("ignore")
        if above == "s0":
            possible.append("dies")
        if self.draws.chance(0.2):
            possible = ["up", "fail", "fail", "fail"]
        rest = tuple(self.draws.pick(possible) for _ in range(self.draws.number(0, 9)))
        first = "up" if self.draws.chance(sure) else self.draws.pick(possible)
        self.outcomes[id] = (first, *rest)

    def flags(self) -> dict[str, Any]:
        flags: dict[str, Any] = {"period": PERIOD if self.timed else NEVER}
        if self.draws.chance(0.9):
            flags["intensity"] = self.draws.pick((0, 1, 1, 2, 3, 5, 30))
        return flags

    def name(self, above: str | None) -> str:
        name = f"s{len(self.supervisors)}"
        self.ids[name], self.below[name] = [], []
        if above is not None:
            self.below[above].append(name)
        return name

    def tree(self, above: str | None, depth: int, counts: bool = False) -> Tree:
        name = self.name(above)
        self.supervisors[name] = Tree(name, {}, ())
        flags = {"strategy": self.draws.pick(STRATEGIES)} if self.draws.chance(0.9) else {}
        flags |= self.flags()
        auto = self.draws.pick(("never", "never", "never", "any_significant", "all_significant", "all_significant"))
        if auto != "never":
            flags["auto_shutdown"] = auto
        children = []
        for _ in range(self.draws.pick((0, 1, 2, 3, 4, 4, 4) if depth == 0 else (1, 2, 3))):
            child = self.child(name, depth, auto != "never")
            children.append(child)
            self.ids[name].append(child.id)
        self.ids[name].append(next(self.letters))  # one that is not there yet
        self.give_outcomes(self.ids[name][-1], name, sure=0.5)
        options = self.options(counts, worker=False) if above is not None else {}
        tree = self.supervisors[name] = Tree(name, flags, tuple(children), options)
        return tree

    def child(self, above: str, depth: int, counts: bool) -> AnySpec:
        if self.nested and depth < 3 and self.draws.chance(0.4):
            return self.pool(above, counts) if self.draws.chance(0.25) else self.tree(above, depth + 1, counts)
        leaf = self.leaf(next(self.letters), counts, above)
        self.below[above].append(leaf.id)
        return leaf

    def pool(self, above: str | None, counts: bool = False) -> Pool:
        name = self.name(above)
        template = self.leaf("template", counts=False, above=name)
        options = self.options(counts, worker=False) if above is not None else {}
        pool = self.supervisors[name] = Pool(name, self.flags(), template, options)
        return pool

    def spoilt(self, top: Tree) -> Tree:
        """What may not be: OTP and ours refuse it before anything starts."""
        twice, significant = Leaf("a", {}), Leaf("z", {"restart": "transient", "significant": True})
        permanent = Leaf("z", {"restart": "permanent", "significant": True})
        spoilt: tuple[tuple[dict[str, Any], tuple[Leaf, ...]], ...] = (
            ({}, (twice, twice)),
            ({"auto_shutdown": "never"}, (significant,)),
            ({"auto_shutdown": "any_significant"}, (permanent,)),
            ({"intensity": -1}, ()),
            ({"period": 0}, ()),
        )
        flags, children = self.draws.pick(spoilt)
        return Tree(top.id, top.flags | flags, children)

    # Steps.

    def batch(self, top: Tree | Pool) -> Batch:
        target = top if self.draws.chance(0.4) else self.supervisors[self.draws.pick(list(self.supervisors))]
        gap = self.draws.pick((0, 0, 100, GAP, GAP)) if self.timed else 0
        if self.draws.chance(0.06):
            return Batch(gap, target.id, (self.alone(target),))
        if isinstance(target, Tree) and self.draws.chance(0.25):
            return Batch(gap, target.id, self.trouble(target))
        steps = [self.step(target) for _ in range(self.draws.pick((1, 1, 1, 2, 2, 3, 4)))]
        if target is top and self.draws.chance(0.06):
            steps.append(("stop", self.draws.pick(("shutdown", "boom", "{shutdown,why}"))))
        return Batch(gap, target.id, tuple(steps))

    def step(self, target: Tree | Pool) -> tuple[Any, ...]:
        if self.draws.chance(0.03):
            return "stranger", self.draws.pick(("boom", "shutdown", "normal"))
        if isinstance(target, Pool):
            return self.pool_step(target)
        workers = [id for id in self.ids[target.id] if id not in self.supervisors]
        nested = [id for id in self.ids[target.id] if id in self.supervisors]
        if nested and not self.mannered and self.draws.chance(0.06):
            return "kill", self.draws.pick(nested)
        if nested and self.draws.chance(0.2):
            inner = self.draws.pick(nested)
            workers = [id for id in self.ids[inner] if id not in self.supervisors] or workers
        if workers and self.draws.chance(0.58):
            return "exit", self.draws.pick(workers), self.draws.pick(REASONS)
        return self.call(target)

    def alone(self, target: Tree | Pool) -> tuple[Any, ...]:
        """A question that is judged only when nothing else goes on."""
        if isinstance(target, Tree):
            return "call", "census"
        return (
            ("call", "spec_dynamic", self.draws.pick(self.ids[target.id])) if self.ids[target.id] else ("call", "which")
        )

    def trouble(self, target: Tree) -> tuple[tuple[Any, ...], ...]:
        """What is likely to find a child restarting: ends, and at once calls about the same children."""
        workers = [id for id in self.ids[target.id] if id not in self.supervisors]
        counted = [
            child.id
            for child in target.children
            if isinstance(child, Leaf) and child.options.get("significant") and child.options["restart"] == "transient"
        ]
        if len(counted) > 1 and self.draws.chance(0.5):
            restarting, ended = self.draws.pick((counted[:2], counted[1::-1]))
            return ("exit", restarting, "boom"), ("exit", ended, "normal")
        first = self.draws.pick(workers)
        steps: list[tuple[Any, ...]] = [("exit", first, self.draws.pick(("boom", "boom", "kill", "normal")))]
        for _ in range(self.draws.number(1, 3)):
            id = first if self.draws.chance(0.7) else self.draws.pick(workers)
            steps.append(
                self.draws.pick(
                    (
                        ("exit", id, self.draws.pick(("boom", "normal"))),
                        ("exit", self.draws.pick(workers), self.draws.pick(("normal", "shutdown"))),
                        ("call", "which"),
                        *(("call", call, id) for call in ("terminate", "restart", "delete", "get_spec")),
                    )
                )
            )
        return tuple(steps)

    def call(self, target: Tree) -> tuple[Any, ...]:
        calls = (
            "terminate",
            "terminate",
            "restart",
            "restart",
            "delete",
            "get_spec",
            "which",
            "which",
            "count",
            "start",
        )
        call = self.draws.pick((*calls, "start"))
        match call:
            case "which" | "count":
                return "call", call
            case "start":
                return "call", "start", self.addition(target)
            case _:
                return "call", call, self.draws.pick([*self.ids[target.id], *self.ids[target.id], "nobody"])

    def addition(self, target: Tree) -> AnySpec:
        counts = target.flags.get("auto_shutdown", "never") != "never"
        if not counts and self.draws.chance(0.15):
            return Leaf("wrong", {"restart": "transient", "significant": True})
        if self.nested and self.draws.chance(0.2):
            tree = self.tree(target.id, 3, counts)
            self.ids[target.id].append(tree.id)
            return tree
        listed = [id for id in self.ids[target.id] if id not in self.supervisors]
        return self.leaf(self.draws.pick([*listed, listed[-1]]), counts, target.id)

    def pool_step(self, target: Pool) -> tuple[Any, ...]:
        known = self.ids[target.id]
        if len(known) < 2 or self.draws.chance(0.3):
            self.born += 1
            known.append(f"x{self.born}")
            self.give_outcomes(known[-1], target.id)
            return "call", "start_dynamic", known[-1]
        if self.draws.chance(0.65):
            return "exit", self.draws.pick(known), self.draws.pick(REASONS)
        call = self.draws.pick(("terminate_dynamic", "terminate_dynamic", "which", "count_dynamic"))
        return ("call", call) if call in ("which", "count_dynamic") else ("call", call, self.draws.pick(known))
