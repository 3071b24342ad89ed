"""Leaks of time."""

from __future__ import annotations

import datetime
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime as moment
from time import perf_counter as stopwatch
from time import sleep as rest
from time import time as t

from regrove.node.core.context import Context
from tests.simulation.leaks.planting import Planted


class Time(Planted):
    def read(self, ctx: Context) -> object:
        return time.time()  # LEAK


class TimeInNanoseconds(Planted):
    def read(self, ctx: Context) -> object:
        return time.time_ns()  # LEAK


class Monotonic(Planted):
    def read(self, ctx: Context) -> object:
        return time.monotonic()  # LEAK


class ProcessTime(Planted):
    def read(self, ctx: Context) -> object:
        return time.process_time_ns()  # LEAK


class AliasOfTime(Planted):
    def read(self, ctx: Context) -> object:
        return t()  # LEAK


class AliasCalledByC(Planted):
    def read(self, ctx: Context) -> object:
        times: dict[str, float] = defaultdict(stopwatch)
        return times["now"]  # LEAK


class ClockAsADefault(Planted):
    def read(self, ctx: Context) -> object:
        return self.since()

    def since(self, clock: Callable[[], float] = time.monotonic) -> float:
        return clock()  # LEAK


class ClockInTheIsolate(Planted):
    def __init__(self) -> None:
        self.clock = stopwatch

    def read(self, ctx: Context) -> object:
        return self.clock()  # LEAK


class ClockByName(Planted):
    def read(self, ctx: Context) -> object:
        return getattr(time, "mono" + "tonic_ns")()  # LEAK


class Now(Planted):
    def read(self, ctx: Context) -> object:
        return datetime.datetime.now()  # LEAK


class NowByAnAlias(Planted):
    def read(self, ctx: Context) -> object:
        return moment.now(datetime.timezone.utc).microsecond  # noqa: UP017  # LEAK


class Today(Planted):
    def read(self, ctx: Context) -> object:
        return datetime.date.today()  # LEAK


class LocalTime(Planted):
    def read(self, ctx: Context) -> object:
        return time.localtime(0).tm_hour  # LEAK


class RealSleep(Planted):
    def read(self, ctx: Context) -> object:
        rest(0)  # LEAK
        return 0


class TimeInTheConstructor(Planted):
    def __init__(self) -> None:
        self.begun = time.time()  # LEAK

    def read(self, ctx: Context) -> object:
        return self.begun


class ClockWithoutATime(Planted):
    hidden = "time.strftime is right with a time given and wrong without, and nothing tells from outside which it was"

    def read(self, ctx: Context) -> object:
        return time.strftime("%Y")


class ZoneOfTheMachine(Planted):
    hidden = "all processes of one machine have the same zone, and datetime.fromtimestamp is right with a zone given"

    def read(self, ctx: Context) -> object:
        return moment.fromtimestamp(0).hour
