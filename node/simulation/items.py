"""What a simulated test is to pytest: its campaign, and the item of it that runs now, with and without its seeds."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrove.node.simulation.cases import Case, quoted
from regrove.node.simulation.failing import Failing

if TYPE_CHECKING:
    from regrove.node.simulation.campaign import Campaign


def name_of(part: range | Case) -> str:
    """How the item of some seeds, or of a case, is called in brackets."""
    if isinstance(part, range):
        return f"seed {part[0]}" if len(part) == 1 else f"seeds {part[0]}-{part[-1]}"
    return f"case {part.seed}"


@dataclass(frozen=True, slots=True)
class Part:
    """What one item runs, and how that is called in its brackets."""

    of: range | Case
    name: str

    @property
    def case(self) -> Case | None:
        """The case it runs, where it runs one."""
        return None if isinstance(self.of, range) else self.of


def parts_of(cases: list[Case], ranges: list[range]) -> list[Part]:
    """Cases first, then ranges of seeds, each with a name of its own."""
    found: list[Part] = []
    whole: list[range | Case] = [*cases, *ranges]
    for each in whole:
        name = name_of(each)
        before = sum(part.name.partition(" #")[0] == name for part in found)
        found.append(Part(each, f"{name} #{before + 1}" if before else name))
    return found


@dataclass(frozen=True, slots=True)
class Item:
    """One item: `test` is its node id without brackets, `brackets` what stands in them, `seeds` its seeds in there."""

    test: str
    brackets: str = ""
    seeds: str = ""
    root: Path = field(default_factory=Path)
    here: Path = field(default_factory=Path)  # where pytest was started
    options: tuple[str, ...] = ()  # it was started with that say where things are
    file: Path | None = None  # where it is; a node id does not say it of a file outside of the root

    @property
    def parameters(self) -> str:
        """What is in the brackets besides the seeds."""
        before, behind = self._around
        return f"{before.removesuffix('-')}{'-' if before and behind else ''}{behind.removeprefix('-')}"

    @property
    def _around(self) -> tuple[str, str]:
        if self.brackets == self.seeds:
            return "", ""
        if self.brackets.startswith(f"{self.seeds}-"):
            return "", self.brackets.removeprefix(self.seeds)
        before, _, behind = self.brackets.rpartition(self.seeds)
        return before, behind

    def of_seed(self, seed: int) -> str:
        """The node id of the item that `--sim-seed` makes instead, as it is found from the root."""
        before, behind = self._around
        return f"{self._from(self.root)}[{before}{name_of(range(seed, seed + 1))}{behind}]"

    def _from(self, folder: Path) -> str:
        """Its node id as pytest finds it from a folder."""
        file, colons, function = self.test.partition("::")
        return f"{os.path.relpath(self.file or self.root / file, folder)}{colons}{function}"

    def command(self, case: Path | None, seed: int) -> str:
        """How a case file of it, or without one a seed, is run again from where pytest was started."""
        if case is None:
            how = ["--sim-seed", str(seed)]
        else:
            how = ["--sim-replay", str(case.relative_to(self.here) if case.is_relative_to(self.here) else case)]
        return " ".join(["pytest", quoted(self._from(self.here)), *map(shlex.quote, (*how, *self.options))])


@dataclass(slots=True)
class Simulated:
    """What the plugin and a test under `@simulate` share: each of the two reads what the other puts here."""

    campaign: Campaign
    how: Failing = field(default_factory=Failing)
    item: Item | None = None  # that runs now
    results: list[dict[str, Any]] = field(default_factory=list)
