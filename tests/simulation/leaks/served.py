"""`python -m tests.simulation.leaks.served FILE` does what an audit orders.

A subject is the name of a planted class.
"""

from __future__ import annotations

import sys
from pathlib import Path

from regrove.node.simulation.auditing.variants import serve
from regrove.node.simulation.failing import run_once
from regrove.node.simulation.simulation import Simulation
from tests.simulation.leaks import chance, clean, clocks, machine, memory, orders
from tests.simulation.leaks.planting import Planted, app_of


def planted(*modules: object) -> dict[str, type[Planted]]:
    """The classes that these modules plant, by name, in the order in which they stand there."""
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Planted) and kind is not Planted
    }


LEAKS = planted(orders, clocks, chance, machine, memory)
CLEAN = planted(clean)


def play(subject: str, seed: int) -> tuple[Simulation, BaseException | None]:
    kind = {**LEAKS, **CLEAN}[subject]
    return run_once(
        lambda faults: Simulation(app_of(kind), seed=seed, faults=faults), lambda sim: sim.run("50ms"), None
    )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), play)
