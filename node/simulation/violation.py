"""Which failure it was, in words: its class and text, and the line of the test or check that it came from."""

from __future__ import annotations

import linecache
import os
import sysconfig
from types import CodeType
from typing import Final

from regrove.node.simulation.trace import shortly

SOURCE_MAX: Final = 120


def violated(error: BaseException) -> str:
    """`AssertionError: 3 are lost`; where the exception has no text, its class and the first value it was given."""
    text = text_of(error) or (shortly(error.args[0]) if error.args else "")
    if isinstance(error, BaseExceptionGroup):
        text = "\n".join([text, *(f"  {violated(part)}" for part in error.exceptions)])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """What an exception says; that it cannot, where that raises."""
    try:
        return str(error).strip()
    except Exception as problem:
        return f"(its own text cannot be told: {type(problem).__name__})"


def origin(error: BaseException) -> str:
    """`checks.py:7: assert total == 1`, the innermost line that is neither ours nor a library's; "" for none."""
    found: tuple[CodeType, int] | None = None
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        code = trace.tb_frame.f_code
        if not module.startswith("regrove.") and not _of_a_library(code.co_filename):
            found = code, trace.tb_lineno
        trace = trace.tb_next
    if found is None:
        return ""
    file, line = found[0].co_filename, found[1]
    source = linecache.getline(file, line).strip()
    source = source if len(source) <= SOURCE_MAX else f"{source[: SOURCE_MAX - 3]}..."
    return f"{_short(file)}:{line}{': ' if source else ''}{source}"


def in_a_line(error: BaseException) -> str:
    """Both in one line, as a case file keeps it."""
    place = origin(error)
    return violated(error).partition("\n")[0] + (f" ({place})" if place else "")


def _of_a_library(file: str) -> bool:
    return "site-packages" in file or file.startswith((sysconfig.get_path("stdlib"), "<"))


def _short(file: str) -> str:
    here = os.path.relpath(file)
    return os.path.basename(file) if here.startswith("..") else here
