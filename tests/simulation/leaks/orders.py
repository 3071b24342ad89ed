"""Leaks of order and of hashes."""

from __future__ import annotations

import json
import sys
from enum import Enum
from functools import reduce

from regrove.node.core.context import Context
from tests.simulation.leaks.planting import Planted, Thing

TREES = ("ash", "fir", "elm", "oak", "yew", "bay", "fig", "gum")
WEIGHTS = {name: 0.1 * 3**at for at, name in enumerate(TREES)}
Wood = Enum("Wood", " ".join(TREES))  # type: ignore[misc]  # mypy wants the names written out


class StringsInASet(Planted):
    def read(self, ctx: Context) -> object:
        return [name for name in set(TREES)]  # noqa: C416  # LEAK


class LoopOverASet(Planted):
    def read(self, ctx: Context) -> object:
        found = ""
        for name in set(TREES):  # LEAK
            found += name
        return found


class JoinedSet(Planted):
    def read(self, ctx: Context) -> object:
        return "".join(set(TREES))  # LEAK


class TiesInMax(Planted):
    def read(self, ctx: Context) -> object:
        return max(set(TREES), key=len)  # LEAK


class TiesInSorted(Planted):
    def read(self, ctx: Context) -> object:
        return sorted(set(TREES), key=len)  # LEAK


class FirstOfASet(Planted):
    def read(self, ctx: Context) -> object:
        return next(iter(set(TREES)))  # LEAK


class PoppedFromASet(Planted):
    def read(self, ctx: Context) -> object:
        left = set(TREES)
        return left.pop()  # LEAK


class DictFromASet(Planted):
    def read(self, ctx: Context) -> object:
        table = dict.fromkeys(set(TREES), 0)  # LEAK
        return list(table)


class DifferenceOfKeys(Planted):
    def read(self, ctx: Context) -> object:
        return [*(WEIGHTS.keys() - {"oak"})]  # LEAK


class BytesInASet(Planted):
    def read(self, ctx: Context) -> object:
        return b"".join({name.encode() for name in TREES})  # LEAK


class TuplesInASet(Planted):
    def read(self, ctx: Context) -> object:
        return [number for _, number in {(name, at) for at, name in enumerate(TREES)}]  # LEAK


class MembersOfAnEnumInASet(Planted):
    def read(self, ctx: Context) -> object:
        return [each.value for each in set(Wood)]  # LEAK


class FloatsSummedOverASet(Planted):
    def read(self, ctx: Context) -> object:
        return reduce(lambda total, name: total + WEIGHTS[name], set(TREES), 0.0)  # LEAK


class FoldOverASet(Planted):
    def read(self, ctx: Context) -> object:
        return reduce(lambda total, name: total * 31 + len(name) + ord(name[0]), set(TREES), 7)  # LEAK


class SetAsJson(Planted):
    def read(self, ctx: Context) -> object:
        return json.dumps(list(set(TREES)))  # LEAK


class SetKeptInTheIsolate(Planted):
    def __init__(self) -> None:
        self.known: set[str] = set()
        self.order: list[str] = []

    def read(self, ctx: Context) -> object:
        self.known.update(TREES)
        self.order = [*self.known]  # LEAK
        return self.order


class SetPassedOn(Planted):
    def read(self, ctx: Context) -> object:
        return self.told(set(TREES))

    def told(self, names: set[str]) -> str:
        return "-".join(names)  # LEAK


class BranchOnASet(Planted):
    def read(self, ctx: Context) -> object:
        found = 0
        for number in range(len(TREES)):
            found *= 2
            if [*set(TREES)][number] < "fir":  # LEAK
                found += 1
        return found


class PlacementByHash(Planted):
    def read(self, ctx: Context) -> object:
        return hash("a key") % 7  # LEAK


class HashOfATuple(Planted):
    def read(self, ctx: Context) -> object:
        return hash(("a key", 3)) & 0xFFFF  # LEAK


class HashOfNone(Planted):
    hidden = "" if sys.version_info < (3, 12) else "since Python 3.12 it is one number"

    def read(self, ctx: Context) -> object:
        return hash(None) % 97  # LEAK


class HashOfAnObject(Planted):
    def read(self, ctx: Context) -> object:
        return hash(Thing(1)) % 97  # LEAK


class ObjectsInASet(Planted):
    def read(self, ctx: Context) -> object:
        things = {Thing(number) for number in range(40)}
        return [thing.number for thing in things]  # LEAK


class SortedById(Planted):
    def read(self, ctx: Context) -> object:
        things = [Thing(number) for number in range(40)]
        return [thing.number for thing in sorted(things, key=id)]  # LEAK


class DictInOrderOfId(Planted):
    def __init__(self) -> None:
        self.table = {Thing(number): number for number in range(40)}

    def read(self, ctx: Context) -> object:
        return [self.table[thing] for thing in sorted(self.table, key=id)]  # LEAK


class PlacementById(Planted):
    def __init__(self) -> None:
        self.things = [Thing(number) for number in range(40)]

    def read(self, ctx: Context) -> object:
        return [id(thing) // 16 % 97 for thing in self.things]  # LEAK


class DefaultRepr(Planted):
    def __init__(self) -> None:
        self.thing = Thing(1)

    def read(self, ctx: Context) -> object:
        return repr(self.thing)  # LEAK


class DefaultReprInAText(Planted):
    def __init__(self) -> None:
        self.thing = Thing(1)

    def read(self, ctx: Context) -> object:
        text = f"about {self.thing}"  # LEAK
        return text.upper()


class ClassesInASet(Planted):
    hidden = "a class is made at import, before the heap is disturbed: its place may be the same by accident"

    def read(self, ctx: Context) -> object:
        return [kind.__name__ for kind in {StringsInASet, LoopOverASet, JoinedSet, TiesInMax}]
