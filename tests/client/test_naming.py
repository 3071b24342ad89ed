"""How `regrove.start` names an application so that other processes can import it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from regrove import Application, Misuse, Supervisor
from regrove.node.client.naming import reference_of


def tree(place: object) -> Supervisor:
    return Supervisor("root", [])


@pytest.mark.parametrize("reference", ["shop:app", "shop.web:app", "folder/shop.py:app", "shop:apps.app"])
def test_a_reference_is_taken_as_it_is(reference: str) -> None:
    assert reference_of(reference) == reference


@pytest.mark.parametrize("reference", ["", "shop", ":app", "shop:", "shop:a b", "shop:1"])
def test_a_text_that_is_no_reference_is_refused_with_an_example(reference: str) -> None:
    with pytest.raises(Misuse, match=r"no application reference; write module:attribute, as in 'examples.counter:app'"):
        reference_of(reference)


def test_an_application_is_named_by_the_module_and_variable_that_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shop_of_naming")
    app = module.__dict__["app"] = Application("shop", tree=tree)
    monkeypatch.setitem(sys.modules, "shop_of_naming", module)
    assert reference_of(app) == "shop_of_naming:app"


def test_the_module_that_defines_the_tree_is_preferred_over_one_that_imported_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Application("shop", tree=tree)
    for name in ("a_first", tree.__module__):
        module = ModuleType(name)
        module.__dict__["app"] = app
        monkeypatch.setitem(sys.modules, name, module)
    assert reference_of(app) == f"{tree.__module__}:app"


def test_an_application_in_a_local_variable_is_refused_with_the_mend() -> None:
    with pytest.raises(Misuse, match=r"stands in no module's variable.*write `app = Application"):
        reference_of(Application("shop", tree=tree))


@pytest.mark.parametrize("what", [None, 5, tree])
def test_anything_else_is_refused(what: object) -> None:
    with pytest.raises(Misuse, match=r"takes an Application or its reference"):
        reference_of(what)


def _main(monkeypatch: pytest.MonkeyPatch, file: str | None, spec: ModuleSpec | None = None) -> Application:
    module = ModuleType("__main__")
    module.__spec__ = spec
    if file is not None:
        module.__file__ = file
    app = module.__dict__["app"] = Application("shop", tree=tree)
    monkeypatch.setitem(sys.modules, "__main__", module)
    return app


def test_a_script_is_named_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("")
    app = _main(monkeypatch, str(script))
    assert reference_of(app) == f"{script}:app"
    assert reference_of("__main__:app") == f"{script}:app"


def test_a_module_run_with_m_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    app = _main(monkeypatch, "/x/shop.py", ModuleSpec("pkg.shop", None))
    assert reference_of(app) == "pkg.shop:app"


@pytest.mark.parametrize("file", [None, "<stdin>", "/no/such/file.py"])
def test_an_interactive_session_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch, file: str | None) -> None:
    app = _main(monkeypatch, file)
    with pytest.raises(Misuse, match=r"interactive session.*put it into a file, say counting.py"):
        reference_of(app)
