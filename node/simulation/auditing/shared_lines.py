"""Where the application writes to what all simulated cores share: the line behind a name that `SharedState` gives."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType

from regrove.node.simulation.auditing.findings import Finding
from regrove.node.simulation.auditing.owners import Owners
from regrove.node.simulation.auditing.watching import application_modules, functions_of

MEND = "keep it in the isolate (self.x), or send it to an isolate that owns it"
_WRITES = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR")


def where_written(names: list[str], owners: Owners) -> list[Finding]:
    """The lines of the application that store under these names; the top of the module where none is in sight."""
    found: dict[Finding, None] = {}
    for name in names:
        home, _, attribute = name.rpartition(".")
        lines = [
            Finding(code.co_filename, line, f"writes {name}, which all cores of the process share", MEND)
            for code in _codes(owners)
            for line in _lines_that_store(code, attribute)
        ]
        found.update(dict.fromkeys(lines or [Finding(_file_of(home), 1, f"{name} is written to", MEND)]))
    return list(found)


def _codes(owners: Owners) -> Iterator[CodeType]:
    for module in application_modules(owners):
        for function in functions_of(module):
            yield from _nested(function.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _lines_that_store(code: CodeType, name: str) -> Iterator[int]:
    line = code.co_firstlineno
    receiver = ""
    for step in dis.get_instructions(code):
        if step.positions is not None and step.positions.lineno is not None:
            line = step.positions.lineno
        if step.opname in _WRITES and step.argval == name and receiver != "self":
            yield line
        receiver = str(step.argval)


def _file_of(home: str) -> str:
    while home and home not in sys.modules:
        home = home.rpartition(".")[0]
    return getattr(sys.modules.get(home), "__file__", None) or home
