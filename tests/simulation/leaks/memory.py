"""Leaks of memory: when it is freed, how deep the stack is, what an earlier seed left behind."""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import weakref
from types import FrameType
from typing import ClassVar

from regrove.node.core.context import Context
from tests.simulation.leaks.planting import Planted, Thing

count = 0
_count = 0
_cache: dict[int, int] = {}
_numbers = itertools.count()


class Circle:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


class Mourned(Circle):
    """Says when it is freed."""

    def __init__(self, ended: list[int]) -> None:
        super().__init__()
        self.ended = ended

    def __del__(self) -> None:
        self.ended.append(1)


class WeakReference(Planted):
    def __init__(self) -> None:
        self.known: list[weakref.ref[Circle]] = []

    def read(self, ctx: Context) -> object:
        self.known.append(weakref.ref(Circle()))
        return [ref() is not None for ref in self.known]  # LEAK


class WeakDictionary(Planted):
    def __init__(self) -> None:
        self.known: weakref.WeakValueDictionary[int, Circle] = weakref.WeakValueDictionary()

    def read(self, ctx: Context) -> object:
        self.known[ctx.now()] = Circle()
        return len(self.known)  # LEAK


class Finalizer(Planted):
    """Named is the line under which the collector came."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def read(self, ctx: Context) -> object:
        Mourned(self.ended)  # LEAK
        things = [Thing(number) for number in range(30)]  # LEAK
        return len(things) + len(self.ended)  # LEAK


class CollectorCounts(Planted):
    def read(self, ctx: Context) -> object:
        return gc.get_count()  # LEAK


class CollectorObjects(Planted):
    def read(self, ctx: Context) -> object:
        return len(gc.get_objects())  # LEAK


class DepthOfTheStack(Planted):
    def read(self, ctx: Context) -> object:
        depth, frame = 0, sys._getframe()
        above: FrameType | None = frame
        while above is not None:
            above = above.f_back  # LEAK
            depth += 1
        return depth


class EndOfTheStack(Planted):
    def read(self, ctx: Context) -> object:
        return self.down(0)

    def down(self, depth: int) -> int:  # LEAK
        try:
            return self.down(depth + 1)
        except RecursionError:
            return depth


class GlobalCounter(Planted):
    def read(self, ctx: Context) -> object:
        global count  # noqa: PLW0603
        count += 1  # LEAK
        return 0


class PrivateGlobalCounter(Planted):
    def read(self, ctx: Context) -> object:
        global _count  # noqa: PLW0603
        _count += 1
        return _count  # LEAK


class ClassAttribute(Planted):
    latest: ClassVar[int] = 0

    def read(self, ctx: Context) -> object:
        ClassAttribute.latest += 1  # LEAK
        return 0


class ListOfTheClass(Planted):
    seen: ClassVar[list[int]] = []

    def read(self, ctx: Context) -> object:
        self.seen.append(1)
        return sum(self.seen)  # LEAK


class AddressPassedOn(Planted):
    def read(self, ctx: Context) -> object:
        return self.half(id(object()))  # LEAK

    def half(self, number: int) -> int:
        return number // 2


class MutableDefault(Planted):
    def read(self, ctx: Context) -> object:
        return self.remember()

    def remember(self, seen: list[int] = []) -> int:  # noqa: B006  # LEAK
        seen.append(1)
        return len(seen)


class WarmDictionary(Planted):
    def read(self, ctx: Context) -> object:
        if 1 not in _cache:  # LEAK
            _cache[1] = 1
            return "computed"
        return "known"


@functools.lru_cache  # LEAK
def square(number: int) -> int:
    return number * number


class WarmCache(Planted):
    elsewhere = square

    def read(self, ctx: Context) -> object:
        square(3)
        return square.cache_info().hits


class NumbersOfTheModule(Planted):
    def read(self, ctx: Context) -> object:
        return next(_numbers)  # LEAK


class AttributeOfAFunction(Planted):
    def read(self, ctx: Context) -> object:
        calls = getattr(square, "calls", 0) + 1  # LEAK
        square.calls = calls  # type: ignore[attr-defined]
        return calls


class SameObject(Planted):
    hidden = "whether two equal texts are one object is the same in every process of one Python"

    def read(self, ctx: Context) -> object:
        return "".join(["a", "b"]) is str(ctx.now())


class AddressUsedAgain(Planted):
    hidden = "the address of what was just freed is used again, in every heap"

    def read(self, ctx: Context) -> object:
        return id(Thing(1)) == id(Thing(2))
