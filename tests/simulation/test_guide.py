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
    assert program.count("def test_") == 8
    (tmp_path / "test_guide.py").write_text(program.replace("seeds=200", "seeds=25").replace('"60s"', '"5s"'))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "CAMPAIGN FAILED" not in done.stdout, done.stdout
    assert "24 passed" in done.stdout, done.stdout
    assert "3 schedules, 2 different, 1 pruned; complete" in done.stdout, done.stdout


def test_the_partition_of_the_guide_fails_and_tells_its_story(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "simulation.md").read_text()
    program = re.findall(r"```py\n(.*?)```", guide, re.DOTALL)[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    (tmp_path / "test_kv_partition.py").write_text(program)
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-x", "-c", "/dev/null", "--rootdir", str(tmp_path),
            "-p", "no:cacheprovider", str(tmp_path),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert "1 failed" in done.stdout, done.stdout
    assert re.search(r"cut n0/\d<?>n0/\d for .*<- without this it passes", done.stdout), done.stdout
    assert "--sim-replay" in done.stdout
    story = guide[guide.index("--- simulation of kv") :].partition("```")[0]
    seen = numberless(done.stdout)
    for line in story.splitlines():
        for part in line.split("..."):  # what is left out there
            assert numberless(part.strip()) in seen, part


def numberless(text: str) -> str:
    """The text without what a change of the runtime may change."""
    return re.sub(r"\d+", "0", text)
