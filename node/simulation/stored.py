"""Which stored cases a run of pytest has, which of its items each is for, and what has to be said of the others."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from regrove.node.simulation.cases import Case, files_in, read_case, within
from regrove.node.simulation.kept import Contents


class Candidate(NamedTuple):
    """An item of pytest as cases see it: its node id without brackets, its other parameters, the case it is for."""

    test: str
    parameters: str
    case: Case | None


class Stored:
    """The cases of one run: those of a folder, or the one `file` of a replay. Raises Misuse when that is no case.

    `contents` is what another process has read in the folder: then they are what it was.
    """

    def __init__(self, folder: Path, file: Path | None, root: Path, contents: Contents | None = None) -> None:
        self._root = root
        self._replays = file is not None
        self.cases: list[Case] = []
        self._broken: list[str] = []
        if file is not None:
            self.cases.append(read_case(file))
            return
        for path, found in files_in(folder, contents):
            if isinstance(found, Case):
                self.cases.append(found)
            else:
                self._broken.append(f"left out: {self._told(path)}{str(found).removeprefix(str(path))}")

    def of(self, test: str) -> list[Case]:
        """The cases that may be for a test: its own, and those of one of the same name elsewhere."""
        name = test.rpartition("::")[2]
        return [case for case in self.cases if case.of_pytest and name == case.test.rpartition("::")[2]]

    def chosen(self, candidates: Sequence[Candidate]) -> list[bool]:
        """Which items stay: of those for cases, the ones whose test and parameters are the case's own."""
        tests = {each.test: None for each in candidates}
        parameters: dict[str, dict[str, None]] = {}
        for each in candidates:
            parameters.setdefault(each.test, {})[each.parameters] = None
        stay = []
        for test, given, case in candidates:
            if case is None:
                stay.append(not self._replays)
                continue
            own = test == case.test or not (case.test in tests or self.has(case.test))
            alone = list(parameters[test]) == [""]
            stay.append(own and (alone or case.parameters in ("", given)))
        return stay

    def notes(self, candidates: Sequence[Candidate], chosen: Sequence[bool], whole: bool) -> list[str]:
        """What is said of cases that did not run; `whole`: no test of this run was asked for with its parameters."""
        ran = {each.case.path for each, stays in zip(candidates, chosen, strict=True) if stays and each.case}
        other: dict[tuple[str, str], list[Case]] = {}
        gone: dict[str, list[Case]] = {}
        for case in self.cases:
            if case.path in ran or not case.of_pytest:
                continue
            if any(each.test == case.test for each in candidates):
                if whole:
                    other.setdefault((case.test, case.parameters), []).append(case)
            elif not self.has(case.test):
                gone.setdefault(case.test, []).append(case)
        said = list(self._broken)
        for (test, given), cases in other.items():
            known = ", ".join(dict.fromkeys(each.parameters for each in candidates if each.test == test))
            said.append(
                f"{self._files(cases)} of {test} with the parameters {given}, which it has no more: "
                f'write those it has now as "parameters" of the file ({known}), or delete the file'
            )
        said += [
            f"{self._files(cases)} of {test}, which is not there any more, nor is a test of its name in this "
            'run: write its new name as "test" of the file, or delete the file'
            for test, cases in gone.items()
        ]
        return said

    def _files(self, cases: list[Case]) -> str:
        """The files of some cases as they are told, with their verb."""
        first, *more = [str(self._told(case.path)) for case in cases if case.path is not None]
        return f"{first} and {len(more)} more are" if more else f"{first} is"

    def _told(self, path: Path) -> Path:
        return path if self._replays else within(path, self._root)

    def has(self, test: str) -> bool:
        """Whether a test file still has the test of a case, as its source says."""
        file, _, names = test.partition("::")
        try:
            body: Iterable[ast.AST] = ast.walk(ast.parse(self._root.joinpath(file).read_bytes()))
        except (OSError, ValueError, SyntaxError):
            return False
        *classes, function = names.split("::")
        for name in classes:
            found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
            if found is None:
                return False
            if found.bases:
                return True  # it may have inherited the test
            body = ast.walk(found)
        return any(isinstance(node, ast.FunctionDef) and node.name == function for node in body)
