"""Finding the application that a reference names: `module:attribute`, or `path/to/file.py:attribute`.

Every failure is one ApplicationError that says what was not found, where it was looked for, and which names are near.
An exception of the application's own code is shown with its own traceback.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse

NEAR_NAMES_MAX = 3


class ApplicationError(Misuse):
    """The reference names no application, or its module cannot be imported."""


def load_application(reference: str, import_path: Sequence[str] = ()) -> Application:
    """Import what `reference` names; `import_path` (default: the working folder) is searched first.

    Raises ApplicationError.
    """
    module_name, colon, attribute = reference.rpartition(":")
    if not (colon and module_name and attribute):
        raise ApplicationError(f"{reference!r} is no application: write MODULE:NAME, for example shop:app")
    extend_path(import_path or (os.getcwd(),))
    if module_name.endswith(".py"):
        module_name = _module_of_file(Path(module_name), reference)
    return _pick(_import(module_name, reference), attribute, reference)


def extend_path(folders: Iterable[str]) -> None:
    """Put folders first on the import path, in their order."""
    fresh = [os.path.abspath(folder) for folder in folders]
    sys.path[:] = [*fresh, *(entry for entry in sys.path if entry not in fresh)]


def _module_of_file(path: Path, reference: str) -> str:
    """A file is imported under its own name, from its own folder."""
    if not path.is_file():
        raise ApplicationError(f"{reference!r}: there is no file {path.absolute()}; give the path of the application")
    if not path.stem.isidentifier():
        raise ApplicationError(f"{reference!r}: {path.stem!r} is no module name; rename the file to letters and `_`")
    extend_path([str(path.absolute().parent)])
    return path.stem


def _import(name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise ApplicationError(_not_found(name, problem.name, reference)) from None
        raise _broken(name, reference, problem) from problem
    except Misuse as problem:
        raise _broken(name, reference, problem) from problem
    except (Exception, SystemExit) as problem:
        raise _broken(name, reference, problem) from problem


def _not_found(name: str, missing: str, reference: str) -> str:
    parent, _, leaf = missing.rpartition(".")
    near = _near(leaf, _modules_in(parent))
    where = f"in package {parent}" if parent else f"in {_shown_path()}"
    whole = "" if missing == name else f" (of {name})"
    hint = f"; did you mean {' or '.join(near)}?" if near else "; start in the folder that holds it, or mend the name"
    return f"{reference!r}: there is no module {missing!r}{whole} {where}{hint}"


def _modules_in(parent: str) -> list[str]:
    """Names of the modules beside the missing one; only the application's own folders, not the whole installation."""
    if not parent:
        return [module.name for module in pkgutil.iter_modules(sys.path[:1])]
    package = sys.modules.get(parent)
    return [module.name for module in pkgutil.iter_modules(getattr(package, "__path__", []))]


def _shown_path() -> str:
    return sys.path[0] if sys.path else "an empty import path"


def _broken(name: str, reference: str, problem: BaseException) -> ApplicationError:
    """The module is there and its own code failed: show from the first frame of that code on."""
    trace = problem.__traceback__
    while trace is not None and (
        "importlib" in trace.tb_frame.f_code.co_filename or trace.tb_frame.f_code.co_filename == __file__
    ):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(problem), problem, trace, chain=False)).rstrip()
    return ApplicationError(f"{reference!r}: importing {name} failed, mend its code:\n{text}")


def _pick(module: ModuleType, attribute: str, reference: str) -> Application:
    found = getattr(module, attribute, None)
    if isinstance(found, Application):
        return found
    own = sorted(key for key, value in vars(module).items() if isinstance(value, Application))
    if found is not None:
        mend = (
            f"did you mean {module.__name__}:{own[0]}?" if own else f"write {attribute} = Application(NAME, tree=...)"
        )
        kind = type(found).__name__
        article = "an" if kind[0] in "aeiou" else "a"
        raise ApplicationError(f"{reference!r} is {article} {kind}, not an Application; {mend}")
    near = [f"{module.__name__}:{name}" for name in own[:NEAR_NAMES_MAX]] or _near(attribute, vars(module))
    hint = f"did you mean {' or '.join(near)}?" if near else f"write {attribute} = Application(NAME, tree=...)"
    raise ApplicationError(f"{reference!r}: module {module.__name__} has no {attribute!r}; {hint}")


def _near(name: str, among: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, [other for other in among if not other.startswith("__")], NEAR_NAMES_MAX)
