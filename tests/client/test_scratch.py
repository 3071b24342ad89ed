"""Temporary folders of started nodes: gone with their program, swept when it was killed, left alone while it lives."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from regrove.node.client.scratch import PREFIX, Scratch, sweep
from regrove.node.process.folders import RuntimeFolder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(root: Path, name: str = "killed") -> Path:
    """What a killed program leaves: a folder whose `owner` nobody locks."""
    folder = root / f"{PREFIX}{name}"
    (folder / "data").mkdir(parents=True)
    (folder / "owner").touch()
    return folder


def test_a_folder_is_private_and_goes_with_remove(root: Path) -> None:
    scratch = Scratch()
    assert scratch.path.stat().st_mode & 0o777 == 0o700
    scratch.remove()
    scratch.remove()
    assert list(root.iterdir()) == []


def test_the_next_program_sweeps_what_a_killed_one_left(root: Path) -> None:
    folder = left(root)
    scratch = Scratch()
    assert not folder.exists()
    scratch.remove()


def test_the_folder_of_a_living_program_is_left_alone(root: Path) -> None:
    scratch = Scratch()
    sweep(root)
    assert scratch.path.is_dir()
    scratch.remove()


def test_a_folder_in_which_a_manager_still_stops_is_left_alone_until_it_has_ended(root: Path) -> None:
    folder = left(root)
    (folder / "run").mkdir(mode=0o700)
    manager = RuntimeFolder(folder / "run", "shop@here")
    manager.claim()
    sweep(root)
    assert folder.is_dir()
    manager.release()
    sweep(root)
    assert not folder.exists()


def test_what_is_none_of_ours_is_left_alone(root: Path) -> None:
    (root / "other").mkdir()
    (root / f"{PREFIX}young").mkdir()
    target = left(root / "elsewhere")
    (root / f"{PREFIX}link").symlink_to(target)
    sweep(root)
    assert sorted(path.name for path in root.iterdir()) == ["elsewhere", "other", f"{PREFIX}link", f"{PREFIX}young"]
    assert target.is_dir()


def test_a_killed_program_gives_its_lock_back(root: Path) -> None:
    program = "import os, signal; from regrove.node.client.scratch import Scratch; Scratch(); os.kill(os.getpid(), 9)"
    environment = {"TMPDIR": str(root), "PATH": ""}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=False)
    assert len(list(root.iterdir())) == 1
    sweep(root)
    assert list(root.iterdir()) == []
