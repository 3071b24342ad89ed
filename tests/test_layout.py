"""Packaging map, tree, links and built wheel say the same."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"regrove": "regrove", "regrove.node": "node", "regrove.supervisor": "supervisor"}
FOLDERS["regrove.transport"] = "transport"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def modules_in(folder: Path, package: str) -> dict[str, Path]:
    """Give every module below a real folder, by its path in an installation; links are not followed."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name == "__pycache__":
            continue
        if path.is_dir():
            found |= modules_in(path, f"{package}/{path.name}")
        elif path.suffix == ".py" or path.name == "py.typed":
            found[f"{package}/{path.name}"] = path
    return found


def installed_tree() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for package, folder in FOLDERS.items():
        found |= modules_in(ROOT / folder, package.replace(".", "/"))
    return found


def test_the_packaging_map_names_every_package_of_the_tree(project: dict[str, Any]) -> None:
    setuptools = project["tool"]["setuptools"]
    assert setuptools["package-dir"] == FOLDERS
    folders = {str(Path(name).parent) for name in installed_tree()}
    assert sorted(setuptools["packages"]) == sorted(folder.replace("/", ".") for folder in folders)


def test_every_folder_of_modules_is_a_package() -> None:
    tree = installed_tree()
    for name in tree:
        assert f"{Path(name).parent}/__init__.py" in tree, f"{Path(name).parent} has no __init__.py"


def test_the_links_are_links_to_the_real_folders() -> None:
    for name in ("node", "supervisor", "transport"):
        link = ROOT / "regrove" / name
        assert link.is_symlink(), f"regrove/{name} has to be a link to ../{name}: check it out with core.symlinks=true"
        assert str(link.readlink()) == f"../{name}"


def test_type_checkers_look_into_every_real_folder(project: dict[str, Any]) -> None:
    tool = project["tool"]
    links = [f"regrove/{folder}" for folder in FOLDERS.values() if folder != "regrove"]
    assert set(links) <= set(tool["pyright"]["include"])
    assert "regrove" in tool["mypy"]["files"]
    assert sorted(tool["coverage"]["run"]["source"]) == sorted(FOLDERS.values())
    assert set(links) <= set(tool["ruff"]["extend-exclude"])  # each file is looked at once
    assert "--links=no" in (ROOT / ".ctags.d" / "regrove.ctags").read_text()


def test_entry_points_load() -> None:
    points = importlib.metadata.distribution("regrove").entry_points
    assert {point.name for point in points if point.group == "console_scripts"} == {"regrove"}
    for point in points:
        assert point.load() is not None


def copy_of_the_tree(target: Path) -> None:
    """Copy what a clone holds, so that a build neither sees nor leaves anything here."""
    for name in ("regrove", "node", "supervisor", "transport"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)


def test_the_wheel_holds_the_tree_and_nothing_else(tmp_path: Path, project: dict[str, Any]) -> None:
    tree = installed_tree()
    source = tmp_path / "source"
    source.mkdir()
    copy_of_the_tree(source)
    # By way of the source distribution, so that what it lacks is missing in the wheel too.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    version = project["project"]["version"]
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        assert {name.split("/")[0] for name in names} == {"regrove", f"regrove-{version}.dist-info"}
        assert sorted(name for name in names if name.startswith("regrove/")) == sorted(tree)
        for name, path in tree.items():
            assert archive.read(name) == path.read_bytes(), f"{name} differs from {path}"
        metadata = archive.read(f"regrove-{version}.dist-info/METADATA").decode()
        assert f"regrove-{version}.dist-info/licenses/LICENSE" in names
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
