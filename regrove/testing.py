"""The public door for testers: whole clusters in one thread, on virtual time, with faults drawn from a seed.

from regrove.testing import faults as f, simulate

@simulate(app=bank.app, nodes=3, cores=2, seeds=200, faults=f.swarm(f.cut(), f.pause(), f.crash(), f.loss()))
def test_money_is_never_created(sim):
    sim.run("60s")
    sim.settle()
    assert sum(account.balance for account in sim.isolates(Account)) == 1_000

One isolate or one supervisor by itself, as a script:

assert Playbook(Counter(10)) << START >> RECEIVE << Add(5) >> RECEIVE << Asked(Total()) >> Reply(15)
"""

from __future__ import annotations

from regrove.node.simulation import faults
from regrove.node.simulation.campaign import simulate
from regrove.node.simulation.checks import NotSettled, PropertyViolated
from regrove.node.simulation.effects_once import NotConserved, NotOnce, at_most_once
from regrove.node.simulation.finding import Found, NotThere
from regrove.node.simulation.history import History, Operation
from regrove.node.simulation.linearizability import NotLinearizable, TooManyOrders, linearizable
from regrove.node.simulation.models import REFUSED, UNKNOWN, Counter, Model, Mutex, Queue, Register
from regrove.node.simulation.outside import OutsideStream
from regrove.node.simulation.playbook import START, Asked, Elapsed, Held, Playbook, Stopping
from regrove.node.simulation.recording import Action, did
from regrove.node.simulation.searching import exhaustive
from regrove.node.simulation.seeds import Ratio
from regrove.node.simulation.shared import SharedState
from regrove.node.simulation.simulation import Simulation
from regrove.node.simulation.trace import Event, Trace, first_difference
from regrove.node.simulation.waiting import Deadlock, Waiting
from regrove.node.simulation.world import Livelock
from regrove.supervisor import actions, events

__all__ = [
    "REFUSED",
    "START",
    "UNKNOWN",
    "Action",
    "Asked",
    "Counter",
    "Deadlock",
    "Elapsed",
    "Event",
    "Found",
    "Held",
    "History",
    "Livelock",
    "Model",
    "Mutex",
    "NotConserved",
    "NotLinearizable",
    "NotOnce",
    "NotSettled",
    "NotThere",
    "Operation",
    "OutsideStream",
    "Playbook",
    "PropertyViolated",
    "Queue",
    "Ratio",
    "Register",
    "SharedState",
    "Simulation",
    "Stopping",
    "TooManyOrders",
    "Trace",
    "Waiting",
    "actions",
    "at_most_once",
    "did",
    "events",
    "exhaustive",
    "faults",
    "first_difference",
    "linearizable",
    "simulate",
]
