"""What docs/simulation.md shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_programs_of_the_guide_pass(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "simulation.md").read_text()
    program = "\n\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    assert program.count("def test_") == 5
    (tmp_path / "test_guide.py").write_text(program.replace("seeds=200", "seeds=2").replace('"60s"', '"5s"'))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", str(tmp_path)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "6 passed" in done.stdout, done.stdout
