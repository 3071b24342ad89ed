"""Snapshots of a whole simulated world: forks of the process that runs it, each able to go on under another plan.

A world is not pickled: the test that drives it is somewhere inside a call of `sim`, and so would be lost. A fork keeps
all of it. As a run goes on it leaves a snapshot of itself now and then, a process that waits. Another plan that agrees
with the one of that run up to the instant of a snapshot is resumed there instead of being run from its beginning; the
outcome is the same, event for event. docs/decisions/snapshots-of-a-world.md tells what this costs.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from regrove.node.simulation.attempts import Make, Test, TooLate, run_once, signature
from regrove.node.simulation.faults import Fault, Noise
from regrove.node.simulation.shrinking import Entries

if TYPE_CHECKING:
    from regrove.node.simulation.simulation import Simulation
    from regrove.node.simulation.world import World

PARTS: Final = 12  # into how many a run is divided by its snapshots
MOST: Final = 24  # snapshots that one run leaves, and that are kept at once
_LENGTH: Final = 4


def available() -> str:
    """Why no snapshots can be made here; "" when they can."""
    if not hasattr(os, "fork"):
        return "this system has no fork"
    if threading.active_count() > 1:
        return "other threads run in this process"
    return ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: how it failed (None: it passed), which frames noise struck, its digest, when; where it began."""

    failure: tuple[str, str] | None
    struck: tuple[Fault, ...]
    digest: str
    at: int = 0  # ns
    resumed: int = 0  # ns


@dataclass(eq=False, slots=True)
class Snapshot:
    """A process that waits: the plan it ran under until `time`."""

    line: socket.socket
    time: int
    plan: Entries


class Snapshots:
    """Runs of one seed under many plans. `run` gives how one ended; `keep` holds on to the snapshots it left.

    A run leaves one each `every` virtual ns, `most` in all.
    """

    def __init__(self, make: Make, test: Test, every: int, most: int = MOST) -> None:
        self._make = make
        self._test = test
        self._every = every
        self._most = most
        self._kept: list[Snapshot] = []
        self._left: list[Snapshot] = []  # by the last run
        self._roots: list[int] = []

    def __enter__(self) -> Snapshots:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kept(self) -> list[int]:
        """The instants of the snapshots that are kept."""
        return [snapshot.time for snapshot in self._kept]

    def run(self, plan: Entries, within: int = 0) -> Ended | None:
        """Run a plan, from the latest snapshot that agrees with it; None when its process died.

        It is given up when it has not ended within so many ns of virtual time (0: never), and then passed.
        """
        self._drop(self._left)
        self._left = []
        for snapshot in sorted(self._kept, key=lambda each: -each.time):
            if agrees(snapshot.plan, plan, snapshot.time):
                ours, theirs = socket.socketpair()
                with theirs:
                    _say(snapshot.line, (plan, within), theirs)
                if _hear(snapshot.line)[0]:
                    return self._follow(ours, plan, snapshot.time)
                ours.close()
        return self._follow(self._begin(plan, within), plan, 0)

    def keep(self, plan: Entries) -> None:
        """Keep the snapshots of the last run, which was under that plan, and of the others those that agree with it."""
        wanted = [each for each in self._kept if agrees(each.plan, plan, each.time)] + self._left
        wanted.sort(key=lambda each: each.time)
        while len(wanted) > self._most:  # thin them out evenly
            wanted = wanted[1::2]
        self._drop([each for each in (*self._kept, *self._left) if each not in wanted])
        self._kept, self._left = wanted, []

    def close(self) -> None:
        """End all processes."""
        self._drop([*self._kept, *self._left])
        self._kept, self._left = [], []
        for root in self._roots:
            os.waitpid(root, 0)
        self._roots.clear()

    def _begin(self, plan: Entries, within: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        root = _fork()
        if not root:
            for snapshot in (*self._kept, *self._left):
                snapshot.line.close()  # who waits must see the end of its line
            ours.close()
            _Runner(theirs, self._every, self._most).run(self._make, self._test, plan, within)
        theirs.close()
        self._roots.append(root)
        return ours

    def _follow(self, line: socket.socket, plan: Entries, since: int) -> Ended | None:
        while True:
            told, next_line = _hear(line)
            if isinstance(told, int) and next_line is not None:
                self._left.append(Snapshot(line, told, plan))
                line = next_line
                continue
            line.close()
            if not isinstance(told, tuple):
                return None
            failure, struck, digest, at = told
            return Ended(failure, struck, digest, at, since)

    def _drop(self, snapshots: list[Snapshot]) -> None:
        for snapshot in snapshots:
            snapshot.line.close()


def agrees(before: Entries, plan: Entries, at: int) -> bool:
    """Whether two plans have said the same up to an instant; single frames are left to the snapshot to judge."""
    return _said(before, at) == _said(plan, at)


def _said(plan: Entries, at: int) -> tuple[list[Noise], list[Fault]]:
    noise = [entry for entry in plan if isinstance(entry, Noise)]
    return noise, [entry for entry in plan if isinstance(entry, Fault) and "#" not in entry.where and entry.at <= at]


class _Runner:
    """A run in a process of its own, and the snapshots it leaves behind: the parents of the process that goes on."""

    def __init__(self, line: socket.socket, every: int, most: int) -> None:
        self._line = line
        self._every = every
        self._most = most  # that are still to be left
        self._next = every
        self._plan: Entries = ()
        self._within = 0  # ns; 0: any time

    def run(self, make: Make, test: Test, plan: Entries, within: int) -> NoReturn:
        """Run, tell how it ended, and end the process."""
        try:
            self._plan, self._within = plan, within
            sim, error = run_once(lambda faults: self._watched(make(faults)), test, plan)
            failure = None if error is None else signature(error)
            _say(self._line, (failure, tuple(sim.plan.struck), sim.trace.digest, sim.now))
        finally:
            os._exit(0)

    def _watched(self, sim: Simulation) -> Simulation:
        world = sim.world
        look = world.check_progress

        def check_progress() -> None:
            look()
            if 0 < self._within < world.clock.now:
                raise TooLate
            if self._most and world.clock.now >= self._next:
                self._leave(world)

        world.check_progress = check_progress  # type: ignore[method-assign]  # of this world alone
        return sim

    def _leave(self, world: World) -> None:
        self._next = world.clock.now + self._every
        self._most -= 1
        ours, theirs = socket.socketpair()
        with ours:
            _say(self._line, world.clock.now, ours)
        if _fork():
            theirs.close()
            try:
                self._wait(world)
            except BaseException:
                os._exit(1)  # nothing of it may reach the test; whoever asked hears that nobody is there
        else:
            self._line.close()
            self._line = theirs

    def _wait(self, world: World) -> None:
        """Wait for plans; return in a process that is to go on under one."""
        while True:
            asked, line = _hear(self._line)
            if line is None:
                _all_gone()
                os._exit(0)
            plan, within = asked
            agreed = world.stage.may_go_on(self._plan, plan)
            _say(self._line, agreed)
            if agreed and not _fork():
                self._line.close()
                self._line, self._plan, self._within = line, plan, within
                world.stage.go_on(plan)
                return
            line.close()
            _gone()


# --- processes and lines ---


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: `available` has looked
        return os.fork()


def _gone() -> None:
    """Reap whoever has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _all_gone() -> None:
    """Wait for all children, so that none is left to others."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def _say(line: socket.socket, value: Any, other: socket.socket | None = None) -> None:
    data = pickle.dumps(value)
    head = len(data).to_bytes(_LENGTH, "little")
    if other is None:
        line.sendall(head + data)
    else:
        socket.send_fds(line, [head], [other.fileno()])
        line.sendall(data)


def _hear(line: socket.socket) -> tuple[Any, socket.socket | None]:
    """What was said, and the line that came with it; None when nobody is there any more."""
    try:
        head, fds, _, _ = socket.recv_fds(line, _LENGTH, 1)
        data = b""
        size = int.from_bytes(head, "little")
        while len(head) == _LENGTH and len(data) < size:
            part = line.recv(size - len(data))
            if not part:
                return None, None
            data += part
    except ConnectionError:
        return None, None
    value = pickle.loads(data) if len(head) == _LENGTH else None
    return value, socket.socket(fileno=fds[0]) if fds else None
