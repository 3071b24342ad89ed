"""The README is true: its programs run, its commands are the ones `.ci/run` runs, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = (line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if line]


def test_the_tour_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("counting")
    monkeypatch.setitem(sys.modules, "counting", module)
    application, test = blocks("python")
    exec(compile(application, "README.md", "exec"), vars(module))
    exec(compile(test, "README.md", "exec"), {"__name__": "test_counting"})


@pytest.mark.processes
def test_the_program_runs_a_real_node(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(blocks("python")[0])
    (program,) = blocks("python program")
    (tmp_path / "program.py").write_text(program)
    folders = {name: str(tmp_path / name) for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR")}
    for folder in folders.values():
        Path(folder).mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | folders,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "10\n", done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def test_the_two_commands_set_everything_up() -> None:
    main, tests = (command for command in commands() if "venv .venv" in command)
    for command in (main, tests):
        make, install, _ = command.split(" && ")
        assert make == "python3 -m venv .venv"
        assert install.startswith(".venv/bin/pip install -q ")
    assert main.endswith("&& .venv/bin/regrove start examples.kv:app --cores 2")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    (tests,) = (command for command in commands() if "pytest" in command)
    ci = (ROOT / ".ci" / "run").read_text()
    _, install, pytest_command = tests.split(" && ")
    assert install in ci
    assert f'"tests" {pytest_command} ' in ci


def test_every_command_of_ours_exists() -> None:
    from regrove.node.cli.group import COMMANDS

    used = [shlex.split(command) for command in commands()]
    names = [words[1] for words in used if words[0] == ".venv/bin/regrove"]
    assert names == ["status", "tree", "stop", "new"]
    for name in [*names, "start"]:
        assert name in COMMANDS


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", *[str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")]]
)
def test_links_between_pages_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("*.md")):
        assert page.name == "README.md" or f"({page.name})" in index, (
            f"{page.name} is missing in docs/decisions/README.md"
        )
