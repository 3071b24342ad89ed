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


def tree(place: Place) -> Supervisor:
    """The tree of one core."""
    settings = read_settings(place.settings)
    clients = Supervisor(
        "clients",
        [DynamicSupervisor("connections", name="connections"), Child("acceptor", Acceptor, settings)],
        strategy="one_for_all",
        intensity=3,
        period=10.0,
    )
    keeper = [Child("keeper", Keeper, settings.dir, name="keeper")] if place.core == 0 else []
    journal = Child("journal", Journal, settings.dir, place.core, place.cores, settings.sync, name="journal")
    shard = Child("shard", Shard, place.core, place.cores, settings.sync, name="shard")
    return Supervisor("root", [*keeper, journal, shard, clients], intensity=0)


app = Application("kv", tree=tree)
