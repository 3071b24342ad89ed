"""Which leaks of our corpus the detectors of peers see: python -m benchmarks.simulators.leaks, with both installed.

seedloop has an audit, which raises at a reading of clocks or chance. simloom runs a seed twice and compares its event
logs; each value read becomes a delay, so that the log depends on it. simloop has neither. The corpus is that of
`tests/simulation/leaks`; what ours flags there is asserted by `tests/simulation/test_leaks.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from zlib import crc32

PARTS: Final = ("chance", "clocks", "machine", "memory", "orders")
CLEAN: Final = ("clean",)
READS: Final = 3


async def reading(kind: type[Any]) -> None:
    """Read a leak some times; what it gives becomes a delay."""
    planted = kind()
    context: Any = SimpleNamespace(now=lambda: 0, random=Random(1), self="planted")
    for _ in range(READS):
        value = planted.read(context)
        await asyncio.sleep(crc32(str(value).encode()) % 100_000 / 1e6)


def by_seedloop(kind: type[Any]) -> str:
    """The name of the error its audit raises, or nothing."""
    import seedloop

    async def scenario(world: seedloop.World) -> None:
        await reading(kind)

    error = seedloop.check(scenario, seeds=1, on_failure="return", audit=True).error
    return type(error).__name__ if error is not None else ""


def by_simloom(kind: type[Any]) -> str:
    """The name of the error of its self-check, or nothing."""
    import simloom

    async def scenario() -> None:
        await reading(kind)

    error = simloom.run(scenario, seed=1, raise_on_error=False, check_determinism=True, world=False).error
    return type(error).__name__ if error is not None else ""


FLAGS: Final = {"EntropyLeakError", "BoundaryError", "SimloomNondeterminismError", "EscapedSimulationError"}


def corpus(parts: tuple[str, ...]) -> list[type[Any]]:
    """All that is read in `read`, without the leaks that no audit is expected to see."""
    base = import_module("tests.simulation.leaks.planting").Planted
    found: list[type[Any]] = []
    for part in parts:
        for kind in vars(import_module(f"tests.simulation.leaks.{part}")).values():
            if isinstance(kind, type) and issubclass(kind, base) and kind is not base and "read" in vars(kind):
                found += [] if vars(kind).get("hidden") else [kind]
    return found


def flagged(flag: Callable[[type[Any]], str], *parts: str) -> list[str]:
    """The names of those that are flagged."""
    return [kind.__name__ for kind in corpus(parts) if flag(kind) in FLAGS]


def main() -> None:
    """Print a line for each peer."""
    total, clean = len(corpus(PARTS)), len(corpus(CLEAN))
    print(f"of {total} declared detectable, and of {clean} that are clean:")
    for name, flag in (("simloom", by_simloom), ("seedloop", by_seedloop)):
        seen, alarms = flagged(flag, *PARTS), flagged(flag, *CLEAN)
        print(f"  {name:<10}{len(seen):>4} flagged {len(alarms):>4} false alarms {', '.join(alarms)}")
        print(f"            {', '.join(seen)}")
    print("  simloop      0 flagged: it has no audit and no self-check")


if __name__ == "__main__":
    main()
