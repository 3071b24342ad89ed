"""kv: a key-value server that speaks RESP2 and RESP3, its keys sharded over the cores of a node.

    regrove start examples.kv:app --cores 2 --set sync=true dir=/var/lib/kv port=6380

Each core has a journal (its append-only file), a shard (its keys) and an acceptor; every client has a connection
isolate on the core that accepted it, which asks the shards of all cores. Core 0 has a keeper too, which commits
new generations of logs. A journal or shard that ends takes its core with it (intensity 0): the manager replaces
the core, and its next life reads the log.
"""

from __future__ import annotations

from examples.kv.acceptor import Acceptor
from examples.kv.journal import Journal
from examples.kv.keeper import Keeper
from examples.kv.settings import read_settings
from examples.kv.shard import Shard
from regrove import Application, Child, DynamicSupervisor, Place, Supervisor

STOP_LIMIT = 15.0  # seconds for the last write and sync of an orderly stop


def tree(place: Place) -> Supervisor:
    """The tree of one core."""
    settings = read_settings(place.settings)
    clients = Supervisor(
        "clients",
        [
            DynamicSupervisor("connections", max_children=settings.max_clients, name="connections"),
            Child("acceptor", Acceptor, settings),
        ],
        strategy="one_for_all",
        intensity=3,
        period=10.0,
    )
    keeper = [Child("keeper", Keeper, settings.dir, name="keeper")] if place.core == 0 else []
    place_and_mode = (place.core, place.cores, settings.sync)
    journal = Child("journal", Journal, settings.dir, *place_and_mode, name="journal", shutdown=STOP_LIMIT)
    shard = Child("shard", Shard, *place_and_mode, name="shard", shutdown=STOP_LIMIT)
    return Supervisor("root", [*keeper, journal, shard, clients], intensity=0)


app = Application("kv", tree=tree)
