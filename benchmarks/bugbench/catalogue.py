"""What a bug of bugbench is, and which there are.

A bug is one module of this folder that offers `BUG`: an application with a flag, a check that drives a world of it and
asserts, and the faults it is searched under. With the flag off it is the fixed twin, which never fails the same check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, TypeAlias

from regrove import Application
from regrove.node.simulation.searching import faults_under
from regrove.testing import Simulation
from regrove.testing import faults as f

Strategy: TypeAlias = Literal["random", "swarm", "pct", "exhaustive", "audit"]
Kinds: TypeAlias = tuple[f.Kind | tuple[f.Kind, ...], ...]

USUAL: Final[tuple[Strategy, ...]] = ("random", "swarm")


class UnknownBug(Exception):
    """There is no bug of that name."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One classic bug.

    `what` is the mistake in one line; `app(broken)` the application with it, or mended; `check(sim)` drives a world for
    about `span` of virtual time and asserts. `faults` are kinds as testers write them; `found_by` are the strategies
    that are expected to find it.
    """

    name: str
    what: str
    app: Callable[[bool], Application]
    check: Callable[[Simulation], None]
    nodes: int = 1
    cores: int = 1
    faults: Kinds = ()
    span: str = "2s"
    found_by: tuple[Strategy, ...] = USUAL
    profile: str = "faithful"
    core_restarts: str = "1000/30s"  # what is searched for is not what a quarantine does
    heavy: bool = False  # a seed takes a good part of a second: hunted with `--long` only

    def world(self, broken: bool, seed: int, faults: f.Faults) -> Simulation:
        """Make the world of one seed, of the broken application or of its twin."""
        app = self.app(broken)
        return Simulation(app, self.nodes, self.cores, seed, faults, self.profile, core_restarts=self.core_restarts)

    def under(self, search: str, seed: int) -> f.Faults:
        """Give the faults of a seed under a strategy of search."""
        return faults_under(search, seed, self.faults or None)


def bugs(names: Iterable[str] = ()) -> list[Bug]:
    """Return the bugs of those names in that order, or all by name. Raises UnknownBug with what there is."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem != "catalogue")
    modules = [import_module(f"{__package__}.{stem}") for stem in stems]
    known = {bug.name: bug for module in modules if isinstance(bug := getattr(module, "BUG", None), Bug)}
    wanted = list(names) or list(known)
    for name in wanted:
        if name not in known:
            raise UnknownBug(f"there is no bug {name!r}; there are {', '.join(known)}")
    return [known[name] for name in wanted]
