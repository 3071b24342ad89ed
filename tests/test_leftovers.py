"""The end of `.ci/run`: a process that outlives the run is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / ".ci" / "leftovers.py"
MARK = "REGROVE_LEFTOVERS_TEST"


def leftovers(value: str) -> list[str]:
    command = [sys.executable, str(SCRIPT), MARK, value]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {MARK: value})
    return done.stdout.splitlines()


def test_a_process_with_the_mark_is_named_even_when_its_parent_is_gone() -> None:
    value = f"of-{os.getpid()}"
    waiting = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]
    orphan = f"import subprocess, sys; subprocess.Popen({waiting!r}, stdin=0)"
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", orphan], stdin=reading, stdout=subprocess.PIPE, env=os.environ | {MARK: value}
    ) as parent:
        os.close(reading)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"here\n"
        assert parent.wait(timeout=30) == 0
        (line,) = leftovers(value)
        assert "sys.stdin.read()" in line
        assert leftovers("of another run") == []
        os.close(writing)
        assert parent.stdout.read() == b""  # the end of its output is the end of the orphan
    assert leftovers(value) == []
