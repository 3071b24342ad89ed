"""An entry of an older term counts as committed once a majority has it: figure 8 of the paper.

It takes four leaders in a row of which three fall before what they wrote is anywhere else, so the check lets them fall:
soon after its election each leader is cut off, goes on writing for a while, and ends.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Final

from benchmarks.bugbench.raft_core import LEADER, OLD_TERM_BY_COUNT
from benchmarks.bugbench.raft_trial import check, members, raft_bug
from regrove.testing import NotThere, Simulation
from regrove.testing import faults as f

LOOK_S: Final = 0.005
REIGN_MS: Final = (5, 60)  # from its election until it is cut off
ALONE_MS: Final = (30, 150)  # from then until it ends


class Falls:
    """Lets each leader fall."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.random = Random(sim.seed)
        self.term = 0

    def look(self) -> None:
        """Look for a new leader, now and again."""
        for raft in members(self.sim):
            if raft.role == LEADER and raft.term > self.term:
                self.term = raft.term
                self.sim.after(self.random.randint(*REIGN_MS) / 1000, partial(self.cut_off, raft.own))
        self.sim.after(LOOK_S, self.look)

    def cut_off(self, own: int) -> None:
        """Nothing it says is heard any more."""
        for node in self.sim.nodes:
            if node.index != own:
                self.sim.cut(self.sim.nodes[own], node)
        self.sim.after(self.random.randint(*ALONE_MS) / 1000, partial(self.end, own))

    def end(self, own: int) -> None:
        """Its next life is heard again."""
        try:
            self.sim.kill(self.sim.find("root/member", node=own))
        except NotThere:
            self.sim.sometimes("a leader ended by itself", True)
        for node in self.sim.nodes:
            if node.index != own:
                self.sim.heal(self.sim.nodes[own], node)


def falling(span: str, sim: Simulation) -> None:
    """The usual check, in which leaders fall."""
    Falls(sim).look()
    check(span, sim)


BUG = raft_bug(
    OLD_TERM_BY_COUNT,
    "an entry of an older term is committed by count, and overwritten by who leads next",
    (f.crash(on="isolate", often=(1, 2)), f.spike(noise=(1, 200))),
    nodes=3,
    check=falling,
)
