"""Failing cases as files: a seed and its shrunk plan, keyed by names that survive a refactor.

A case names its test by file and function, its faults by place and time. Nothing in it counts code or lines of a
program, so moving or renaming what a plan does not name leaves it valid; a test that moved to another file is found by
its function's name.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.plan import Fault, Noise, read_plan

FORMAT: Final = 1
FOLDER: Final = ".regrove/cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One failing case. `test` is `file.py::function`, or `module:app` of `regrove sim`; `violated` is for people.

    `settings` and `span` are those of `regrove sim`; a test under pytest has its own.
    """

    test: str
    seed: int
    plan: tuple[Fault | Noise, ...]
    profile: str = "faithful"
    nodes: int = 1
    cores: int = 1
    violated: str = ""
    digest: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    span: str = ""

    @property
    def function(self) -> str:
        """The test's own name."""
        return self.test.rpartition("::")[2].rpartition(":")[2]

    @property
    def name(self) -> str:
        """What its file is called."""
        plain = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in self.function)
        return f"{plain}-{self.seed}.json"

    def write(self, folder: Path) -> Path:
        """Write it into a folder, which is made; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        rows: dict[str, Any] = {
            "format": FORMAT,
            "test": self.test,
            "seed": self.seed,
            "profile": self.profile,
            "nodes": self.nodes,
            "cores": self.cores,
            **({"settings": dict(self.settings)} if self.settings else {}),
            **({"span": self.span} if self.span else {}),
            "violated": self.violated,
            "plan": [str(entry) for entry in self.plan],
            "digest": self.digest,
        }
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_text(json.dumps(rows, indent=2) + "\n")
        temporary.replace(path)
        return path

    def belongs_to(self, nodeid: str) -> bool:
        """Whether a pytest node id, without its parameters, is its test; one that moved is known by its name."""
        return nodeid == self.test or nodeid.rpartition("::")[2] == self.function


def read_case(path: str | Path) -> Case:
    """Read a case file. Raises Misuse naming the file and what is wrong."""
    try:
        rows = json.loads(Path(path).read_text())
        if rows["format"] != FORMAT:
            raise Misuse(f"{path}: format {rows['format']} is not known here, this version reads {FORMAT}")
        numbers = [rows[name] for name in ("seed", "nodes", "cores")]
        if not all(type(number) is int for number in numbers):
            raise Misuse(f"{path}: seed, nodes and cores are numbers, got {numbers}")
        return Case(
            test=str(rows["test"]),
            seed=rows["seed"],
            plan=read_plan(rows["plan"]),
            profile=str(rows["profile"]),
            nodes=rows["nodes"],
            cores=rows["cores"],
            violated=str(rows.get("violated", "")),
            digest=str(rows.get("digest", "")),
            settings=tuple((str(key), str(value)) for key, value in rows.get("settings", {}).items()),
            span=str(rows.get("span", "")),
        )
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Misuse(f"{path} is no case file: {type(error).__name__}: {error}") from None


def cases_in(folder: Path) -> list[tuple[Path, Case]]:
    """Read all cases of a folder, by name; what cannot be read is left out."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            found.append((path, read_case(path)))
        except Misuse:
            continue
    return found
