"""Failing cases as files: a seed and its shrunk plan, keyed by names that survive a refactor.

A case names its test by file and function, its faults by place and time. Nothing in it counts code or lines of a
program, so moving or renaming what a plan does not name leaves it valid; a test that moved to another file is found by
its function's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.kept import Contents, contents_of
from regrove.node.simulation.plan import Fault, Noise, read_plan

FORMAT: Final = 1
FOLDER: Final = ".regrove/cases"
LINE: Final = re.compile(r".*\([^()]+:\d+: (.*)\)$")  # `... (checks.py:7: assert total == 1)`, the last one
WORD: Final = 60  # bytes of each word in a file's name, which may have 255


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
    campaign: str = ""  # what tells campaigns of one test apart: their faults, search and settings, hashed
    parameters: str = ""  # of a parametrised test, as pytest writes them; "": all of them
    path: Path | None = field(default=None, compare=False)  # the file it was read from

    @property
    def function(self) -> str:
        """The test's own name."""
        return self.test.rpartition("::")[2].rpartition(":")[2]

    @property
    def name(self) -> str:
        """What its file is called."""
        words = (self._module, self.function, self.parameters)
        plain = "-".join(_plain(word).encode()[:WORD].decode(errors="ignore") for word in words if word)
        return f"{plain}-{hashlib.blake2b(repr(self._whose).encode(), digest_size=3).hexdigest()}-{self.seed}.json"

    @property
    def _whose(self) -> tuple[Any, ...]:
        kept = (self.test, self.profile, self.nodes, self.cores, self.settings, self.span, self.campaign)
        return (*kept, self.parameters) if self.parameters else kept  # as it was before parameters were kept

    @property
    def _module(self) -> str:
        file, both, _ = self.test.partition("::")
        module = file if both else self.test.rpartition(" ")[2].rpartition(":")[0]
        return module.rpartition("/")[2].removesuffix(".py").rpartition(".")[2]

    @property
    def of_pytest(self) -> bool:
        """Whether its test runs under pytest, not `regrove sim`."""
        return "::" in self.test or ":" not in self.test.partition(" ")[0]

    def command(self, file: str | Path, more: str = "") -> str:
        """How its file is replayed; `more` are options of pytest."""
        if self.of_pytest:
            return f"pytest {quoted(self.test)} --sim-replay {shlex.quote(str(file))}{more}"
        return f"regrove sim replay {shlex.quote(str(file))}"

    def compared(self, violated: str, digest: str) -> str:
        """Say how a run compares to this case as it was kept; "" for one that was not kept yet."""
        if not self.digest:
            return ""
        if digest == self.digest and violated == self.violated:
            return "replayed: this is the very run that was kept"
        if digest == self.digest:
            return f"replayed: the run is the one that was kept, what it violates is not; kept was: {self.violated}"
        if violated == self.violated:
            return f"replayed: it fails as it did, in another run: {self._why}"
        return f"replayed: it fails, but not as it did: {self._why}; kept was: {self.violated}"

    @property
    def _why(self) -> str:
        what, audit = ("test", "--sim-audit") if self.of_pytest else ("check", "regrove sim diff")
        changed = f"the {what} or the application has changed since"
        return f"{changed}, or something no seed decides is read ({audit} finds that)"

    def fails_alike(self, violated: str) -> bool:
        """Whether what is violated now is what this case was kept for; yes, where it does not say."""
        return not self.violated or _outlined(self.violated) == _outlined(violated)

    def is_in(self, folder: Path) -> bool:
        """Whether this failure is kept there, under whatever name."""
        return self._there(folder) is not None

    def write(self, folder: Path, over: Path | None = None) -> Path:
        """Write it into a folder, which is made, or `over` a file; return its path.

        A file of the folder that holds another failure (of another test, or another plan) is left alone.
        """
        path = over or self._free_in(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: dict[str, Any] = {
            "format": FORMAT,
            "test": self.test,
            "seed": self.seed,
            "profile": self.profile,
            "nodes": self.nodes,
            "cores": self.cores,
            **({"settings": dict(self.settings)} if self.settings else {}),
            **({"span": self.span} if self.span else {}),
            **({"campaign": self.campaign} if self.campaign else {}),
            **({"parameters": self.parameters} if self.parameters else {}),
            "violated": self.violated,
            "plan": [str(entry) for entry in self.plan],
            "digest": self.digest,
        }
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_text(json.dumps(rows, indent=2) + "\n")
        temporary.replace(path)
        return path

    def _there(self, folder: Path) -> Path | None:
        for path, there in cases_in(folder):
            if there.is_of(self) and (there.seed, there.plan) == (self.seed, self.plan):
                return path  # under whatever name: its test may have moved
        return None

    def _free_in(self, folder: Path) -> Path:
        if (there := self._there(folder)) is not None:
            return there
        path = folder / self.name
        for number in count(2):
            if not path.exists():
                break
            path = folder / f"{self.name.removesuffix('.json')}-{number}.json"
        return path

    def is_of(self, other: Case) -> bool:
        """Whether both are of the same campaign of the same test, with the same parameters."""
        return self._whose == other._whose


def read_case(path: str | Path, content: bytes | None = None) -> Case:
    """Read a case file, or what was read from it. Raises Misuse naming the file and what is wrong."""
    try:
        content = Path(path).read_bytes() if content is None else content
        rows = json.loads(content.decode("utf-8-sig"))
        if not isinstance(rows, dict):
            raise Misuse(f"{path} is no case file: it is no object of names and values")
        if rows["format"] != FORMAT:
            raise Misuse(f"{path}: format {rows['format']} is not known here, this version reads {FORMAT}")
        if not (isinstance(rows["test"], str) and rows["test"].strip()):
            raise Misuse(f"{path}: test names a test or MODULE:APP, got {rows['test']!r}")
        if not (isinstance(rows["plan"], list) and all(isinstance(line, str) for line in rows["plan"])):
            raise Misuse(f"{path}: plan is a list of lines, got {rows['plan']!r}")
        if not isinstance(rows.get("settings", {}), dict):
            raise Misuse(f"{path}: settings are names with values, got {rows['settings']!r}")
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
            campaign=str(rows.get("campaign", "")),
            parameters=str(rows.get("parameters", "")),
            path=Path(path),
        )
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise Misuse(f"{path} is no case file: it has no {error.args[0]!r}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{path} is no case file: it is no text") from None
    except json.JSONDecodeError as error:
        raise Misuse(f"{path} is no case file: it is not JSON ({error})") from None
    except RecursionError:
        raise Misuse(f"{path} is no case file: lists in lists without end") from None
    except Misuse as error:
        raise Misuse(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    except (ValueError, TypeError) as error:
        raise Misuse(f"{path} is no case file: {type(error).__name__}: {error}") from None


def cases_in(folder: Path) -> list[tuple[Path, Case]]:
    """Read all cases of a folder, by name; what cannot be read is left out."""
    return [(path, found) for path, found in files_in(folder) if isinstance(found, Case)]


def files_in(folder: Path, contents: Contents | None = None) -> Iterator[tuple[Path, Case | Misuse]]:
    """Read all files of a folder, by name: each is a case, or what is wrong with it. `contents` were read before."""
    for name, content in (contents_of(folder) if contents is None else contents).items():
        path = folder / os.fsdecode(name)
        try:
            if isinstance(content, str):
                raise Misuse(f"{path} cannot be read: {content}")
            yield path, read_case(path, content)
        except Misuse as problem:
            yield path, problem


def within(path: Path, root: Path) -> Path:
    """A path as it is told: relative to the root of the tests where it is in there."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def _outlined(violated: str) -> tuple[str, str]:
    """What tells failures apart in words: the class, and the code of the line, or the name of the property."""
    kind, _, text = violated.partition(":")
    if kind == "PropertyViolated":
        return kind, text.partition(" was violated at ")[0]
    place = LINE.match(text)
    return kind, place[1] if place else ""


def _plain(word: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in word)


def quoted(text: str) -> str:
    """A word for a shell, in quotes whether it needs them or not: a node id, which people extend by brackets."""
    found = shlex.quote(text)
    return found if found != text else f"'{text}'"
