"""`import regrove` gives what applications need: no more, no less, and every name is documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import regrove

ROOT = Path(__file__).parent.parent


def documented() -> list[str]:
    """Give the names in the first column of the tables of docs/public-door.md."""
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "public-door.md").read_text(), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)", row)]


def test_every_public_name_is_documented_once_and_nothing_else_is() -> None:
    names = documented()
    assert sorted(names) == sorted(set(names))
    assert sorted(names) == sorted(regrove.__all__)


def test_every_public_name_is_there_and_sorted() -> None:
    for name in regrove.__all__:
        assert getattr(regrove, name) is not None
    assert len(set(regrove.__all__)) == len(regrove.__all__)


def test_every_public_name_has_a_docstring_where_python_allows_one() -> None:
    for name in regrove.__all__:
        value = getattr(regrove, name)
        if callable(value):
            assert (value.__doc__ or "").strip(), f"regrove.{name} has no docstring"


def test_type_checkers_see_every_public_name() -> None:
    """`from x import y as y` is the form that mypy and pyright take as a re-export."""
    bound = set()
    for node in ast.walk(ast.parse((ROOT / "regrove" / "__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            bound |= {alias.asname for alias in node.names if alias.asname == alias.name}
    assert set(regrove.__all__) <= bound


def test_the_door_is_light() -> None:
    """A core, and a simulated run, pay for no socket library, no event loop and no logging."""
    program = "import sys, regrove; print([m for m in ('zmq', 'structlog', 'asyncio', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(regrove, "no_such_name")
