"""`regrove new`: what it makes runs, in simulation under pytest and on a real node; what it cannot make it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from regrove.node.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROVE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.chdir(tmp_path)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_new_makes_a_project_and_says_what_comes_next(tmp_path: Path, capsys: Captured) -> None:
    assert main(["new", "shop"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("made shop: ")
    assert [line.strip() for line in out[1:]] == [
        "cd shop",
        "pip install pytest",
        "python -m pytest",
        "regrove start shop:app",
    ]
    assert files_of(tmp_path / "shop") == ["README.md", "pyproject.toml", "shop.py", "tests/test_shop.py"]
    project = tomllib.loads((tmp_path / "shop" / "pyproject.toml").read_text())
    assert (project["project"]["name"], project["tool"]["setuptools"]["py-modules"]) == ("shop", ["shop"])
    assert all("$" not in (tmp_path / "shop" / name).read_text() for name in files_of(tmp_path / "shop"))


def test_the_tests_of_a_new_project_pass_in_simulation(tmp_path: Path) -> None:
    assert main(["new", "shop"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path / "shop",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout  # the campaign is five


def test_the_tests_of_a_new_project_fail_when_its_application_is_broken(tmp_path: Path) -> None:
    assert main(["new", "shop"]) == 0
    application = tmp_path / "shop" / "shop.py"
    application.write_text(application.read_text().replace("self.total += amount", "self.total -= amount"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "adds"],
        cwd=tmp_path / "shop",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "1 failed" in done.stdout


@pytest.mark.processes
def test_every_command_of_its_readme_works(tmp_path: Path) -> None:
    assert main(["new", "shop"]) == 0
    folder = tmp_path / "shop"
    commands = re.findall(r"^regrove (.+?)(?: +#.*)?$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in commands] == ["check", "start", "status", "tree", "call", "stop"]
    programs = [f'"{sys.executable}" -m regrove {line}' for line in commands]
    node = subprocess.Popen(
        f"exec {programs[1]}", shell=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        assert "is up with 2 cores" in node.stdout.readline()
        outputs = {}
        for line, program in zip(commands, programs, strict=True):
            if not line.startswith("start"):
                done = subprocess.run(
                    program, shell=True, cwd=folder, capture_output=True, text=True, timeout=90, check=False
                )
                assert (done.returncode, done.stderr) == (0, ""), line
                outputs[line.split()[0]] = done.stdout
        node.communicate(timeout=90)
        assert node.returncode == 0
    finally:
        node.kill()
        node.communicate()
    assert outputs["call"] == "0\n"
    assert outputs["tree"].count("counter") == 2


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_already_is_left_as_it_is(there: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "shop"
    if there == "folder":
        path.mkdir()
    elif there == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    assert main(["new", "shop"]) == 1
    assert capsys.readouterr().err == "regrove: shop is there already: take another name, or remove it first\n"
    assert files_of(tmp_path) == (["shop"] if there == "file" else [])
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Shop", "'Shop' is no name for a module; write at most 64 lower-case letters, digits and _"),
        ("my-shop", "is no name for a module"),
        ("../shop", "is no name for a module"),
        ("", "is no name for a module"),
        ("9lives", "is no name for a module"),
        ("läden", "is no name for a module"),
        ("a" * 65, "is no name for a module"),
        ("shop\n", "is no name for a module"),
        ("class", "'class' means something else in Python already; take another name, for example my_class"),
        ("json", "'json' means something else in Python already"),
        ("tests", "'tests' means something else in Python already"),
        ("regrove", "a module named 'regrove' is installed already; take another name, for example my_regrove"),
    ],
)
def test_a_bad_name_is_refused_in_one_sentence(name: str, text: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["new", name]) == 64
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: Captured) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        assert main(["new", "shop"]) == 1
    finally:
        os.chdir(tmp_path)
    err = capsys.readouterr().err
    assert err.startswith("regrove: cannot make the folder shop here: ")
    assert err.count("\n") == 1


def test_a_disk_that_is_full_leaves_nothing_behind(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def full(path: Path, text: str, encoding: str) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device", str(path))
        return write(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["new", "shop"]) == 1
    text = "regrove: cannot write shop/pyproject.toml: No space left on device; nothing was made\n"
    assert capsys.readouterr().err == text
    assert list(tmp_path.iterdir()) == []
