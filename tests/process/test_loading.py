"""References to applications: what is found, and how a mistake is explained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from regrove.node.process.loading import ApplicationError, load_application

APP = """
from regrove.node.core.application import Application
from regrove.supervisor.spec import Supervisor
app = Application("{name}", tree=lambda place: Supervisor("root", []))
other = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), set(sys.modules)
    package = tmp_path / "loadpack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(APP.format(name="inner"))
    (tmp_path / "loadshop.py").write_text(APP.format(name="shop"))
    (tmp_path / "loadneeds.py").write_text("import loadmissing\n")
    (tmp_path / "loadexits.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "loadsyntax.py").write_text("def f(:\n")
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("load"):
            del sys.modules[name]


@pytest.mark.parametrize(("reference", "name"), [("loadshop:app", "shop"), ("loadpack.inner:app", "inner")])
def test_a_module_and_its_attribute_are_found(folder: Path, reference: str, name: str) -> None:
    assert load_application(reference, [str(folder)]).name == name


def test_a_file_is_imported_under_its_own_name(folder: Path) -> None:
    assert load_application(f"{folder}/loadshop.py:app", [str(folder)]).name == "shop"
    assert sys.modules["loadshop"].__name__ == "loadshop"


MISTAKES = {
    "misspelt module": ("loadshp:app", "there is no module 'loadshp'", "did you mean loadshop"),
    "misspelt in a package": ("loadpack.iner:app", "no module 'loadpack.iner' in package loadpack", "mean inner?"),
    "missing package": ("nopack.inner:app", "there is no module 'nopack' (of nopack.inner)", "did you mean loadpack?"),
    "misspelt attribute": ("loadshop:ap", "module loadshop has no 'ap'", "did you mean loadshop:app?"),
    "another thing": ("loadshop:other", "is an int, not an Application", "did you mean loadshop:app?"),
    "no colon": ("loadshop", "is no application", "write MODULE:NAME"),
    "missing file": ("no/such.py:app", "there is no file", "give the path"),
    "import inside fails": ("loadneeds:app", "importing loadneeds failed", "No module named 'loadmissing'"),
    "exits": ("loadexits:app", "importing loadexits failed", "SystemExit: 3"),
    "syntax": ("loadsyntax:app", "importing loadsyntax failed", "loadsyntax.py"),
}


@pytest.mark.parametrize(("reference", "what", "mend"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_says_what_was_not_found_and_what_is_near(folder: Path, reference: str, what: str, mend: str) -> None:
    with pytest.raises(ApplicationError) as caught:
        load_application(reference, [str(folder)])
    assert what in str(caught.value)
    assert mend in str(caught.value)


def test_the_traceback_of_a_broken_module_begins_at_its_own_code(folder: Path) -> None:
    with pytest.raises(ApplicationError) as caught:
        load_application("loadneeds:app", [str(folder)])
    frames = [line for line in str(caught.value).splitlines() if line.lstrip().startswith("File ")]
    assert "loadneeds.py" in frames[0]
