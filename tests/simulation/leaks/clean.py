"""The same shapes done right: an audit that says anything of these is wrong."""

from __future__ import annotations

import collections
import contextlib
import copy
import datetime
import functools
import gc
import hashlib
import heapq
import itertools
import json
import logging
import os.path
import random
import re
import time
import uuid
import warnings
import weakref
import zlib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any

from regrove import DONE, RECEIVE, Effect, Offload
from regrove.node.core.context import Context
from tests.simulation.leaks.orders import TREES, WEIGHTS
from tests.simulation.leaks.planting import Planted, Seen, Thing

logger = logging.getLogger("clean")
BEGAN = time.time()  # read once, used nowhere in a run


class Kind(Enum):
    ONE = "one"
    TWO = "two"


@dataclass(frozen=True)
class Key:
    name: str
    number: int


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.name == self.name

    def __hash__(self) -> int:
        return hash((self.name, 1))


class TheClockOfTheRun(Planted):
    def read(self, ctx: Context) -> object:
        return ctx.now(), ctx.wall_time()


class TheRandomnessOfTheRun(Planted):
    def read(self, ctx: Context) -> object:
        numbers = list(range(9))
        ctx.random.shuffle(numbers)
        return ctx.random.random(), ctx.random.choice(TREES), numbers


class SeededGenerator(Planted):
    def read(self, ctx: Context) -> object:
        numbers = random.Random(ctx.random.getrandbits(32))
        return numbers.random(), numbers.choice(TREES)


class SortedSet(Planted):
    def read(self, ctx: Context) -> object:
        return sorted(set(TREES)), sorted(set(TREES), key=lambda name: (len(name), name))


class WhatHasNoOrder(Planted):
    def read(self, ctx: Context) -> object:
        names = set(TREES)
        return len(names), max(names), "oak" in names, any(len(name) > 3 for name in names), sum(map(len, names))


class SetLoopsWithoutOrder(Planted):
    def read(self, ctx: Context) -> object:
        known: set[str] = set()
        known |= {name.upper() for name in set(TREES)}
        known.discard("OAK")
        return sorted(known - {"FIR"})


class DictsInsteadOfSets(Planted):
    def read(self, ctx: Context) -> object:
        return list(dict.fromkeys(TREES)), [*{name: at for at, name in enumerate(TREES)}]


class ValuesAsKeys(Planted):
    def __init__(self) -> None:
        self.table = {Key("a", 1): 1, Key("b", 2): 2}
        self.named = {Named("a"): 1, Named("b"): 2}

    def read(self, ctx: Context) -> object:
        return self.table[Key("a", 1)], self.named[Named("b")], [key.name for key in self.table]


class StablePlacement(Planted):
    def read(self, ctx: Context) -> object:
        return zlib.crc32(b"a key") % 7, hashlib.blake2b(b"a key", digest_size=4).hexdigest(), hash(17), hash((1, 2.5))


class MembershipByIdentity(Planted):
    def read(self, ctx: Context) -> object:
        things = [Thing(number) for number in range(20)]
        seen = {id(thing) for thing in things[:10]}
        return [id(thing) in seen for thing in things]


class OwnNumbers(Planted):
    def __init__(self) -> None:
        self.numbers = itertools.count()

    def read(self, ctx: Context) -> object:
        return next(self.numbers)


@functools.lru_cache
def square(number: int) -> int:
    return number * number


class PureCache(Planted):
    def read(self, ctx: Context) -> object:
        return square(7)


class TiesBrokenByACounter(Planted):
    def __init__(self) -> None:
        self.heap: list[tuple[int, int]] = []

    def read(self, ctx: Context) -> object:
        for number in range(5):
            heapq.heappush(self.heap, (1, number))
        return heapq.heappop(self.heap), collections.Counter("abracadabra").most_common(2)


class FloatsInOrder(Planted):
    def read(self, ctx: Context) -> object:
        return sum(WEIGHTS[name] for name in sorted(set(TREES))), sum(WEIGHTS.values())


class GivenTimes(Planted):
    def read(self, ctx: Context) -> object:
        then = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)  # noqa: UP017
        return then + datetime.timedelta(microseconds=ctx.now() // 1000), time.gmtime(0).tm_year


class NamedUuid(Planted):
    def read(self, ctx: Context) -> object:
        return uuid.uuid5(uuid.NAMESPACE_DNS, "a.name"), uuid.UUID(int=ctx.random.getrandbits(128))


class PathsAsTexts(Planted):
    def read(self, ctx: Context) -> object:
        return os.path.join("a", "b"), PurePath("a") / "b"


class WritesLogs(Planted):
    def read(self, ctx: Context) -> object:
        logger.info("standard library: %s", Thing(1))
        ctx.log.info("ours", thing=Thing(1), at=time)
        try:
            raise ValueError("caught")
        except ValueError:
            logger.debug("with a traceback", exc_info=True)
        return 0


class Warns(Planted):
    def read(self, ctx: Context) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("as libraries do", stacklevel=1)
        return 0


class ImportsLate(Planted):
    def read(self, ctx: Context) -> object:
        import fractions
        import quopri

        with contextlib.suppress(ImportError):
            __import__("a_module_of_nobody")
        return fractions.Fraction(1, 3), quopri.__name__


class CopiesAndCodecs(Planted):
    def read(self, ctx: Context) -> object:
        value = {"a": [1, 2, (3,)], "kind": Kind.ONE.value}
        return copy.deepcopy(value), json.loads(json.dumps(value)), re.sub(r"\d", "x", "a1b2")


@dataclass
class Basket:
    fruits: list[str] = field(default_factory=list)


class FreshDefaults(Planted):
    def read(self, ctx: Context) -> object:
        basket = Basket()
        basket.fruits.append("fig")
        return basket.fruits


class StrongReferences(Planted):
    def __init__(self) -> None:
        self.kept = [Thing(number) for number in range(5)]
        self.weak = weakref.WeakValueDictionary({thing.number: thing for thing in self.kept})

    def read(self, ctx: Context) -> object:
        gc.collect()
        return [self.weak[number].number for number in range(5)]


class Generators(Planted):
    def numbers(self) -> Any:
        for number in range(5):
            yield number * number

    def read(self, ctx: Context) -> object:
        return [*self.numbers()], [*map(str, self.numbers())]


class Crashes(Planted):
    def read(self, ctx: Context) -> object:
        if ctx.random.below(3) == 0:
            raise RuntimeError("restarted by its supervisor")
        return 1


class Ends(Planted):
    def handle(self, ctx: Context, message: Any) -> Effect:
        return DONE


class OffloadsWhatIsPure(Planted):
    def handle(self, ctx: Context, message: Any) -> Effect:
        return Offload(square, 12, then=self.found)

    def found(self, ctx: Context, outcome: Any) -> Effect:
        ctx.send("sink", Seen(str(outcome)))
        return RECEIVE


class AsksForItsPlace(Planted):
    def read(self, ctx: Context) -> object:
        return ctx.place.node, ctx.place.core, ctx.self.incarnation if hasattr(ctx.self, "incarnation") else 0
