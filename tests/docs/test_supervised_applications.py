"""What docs/supervised-applications.md shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_programs_of_the_tutorial_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "supervised-applications.md").read_text()
    program = "\n\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    tests = program.count("def test_")
    assert tests == 6
    (tmp_path / "test_shop.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", str(tmp_path)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert f"{tests} passed" in done.stdout, done.stdout
