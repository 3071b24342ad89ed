"""How a started node finds an application: by `module:attribute`, or by `file.py:attribute` for a script.

A node is other processes, which import the application afresh. So an `Application` object is given as the reference
under which they find it: its module and the variable that holds it. One in `__main__` is imported by its file, as
multiprocessing does; an interactive `__main__` has no file and is refused with the mend.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse


def reference_of(application: object) -> str:
    """The reference `regrove start` takes for an Application or a text. Raises Misuse with the mend."""
    if isinstance(application, str):
        return _checked(application)
    if not isinstance(application, Application):
        raise Misuse(
            f"regrove.start takes an Application or its reference, got {application!r}; "
            "write regrove.start('module:app'), or give the Application(...) itself"
        )
    module, attribute = _find(application)
    return f"{_importable(module)}:{attribute}"


def _checked(reference: str) -> str:
    module, colon, attribute = reference.rpartition(":")
    if not (module and colon and all(part.isidentifier() for part in attribute.split("."))):
        raise Misuse(
            f"{reference!r} is no application reference; write module:attribute, as in 'examples.counter:app', "
            "or file.py:attribute"
        )
    if module == "__main__":
        return f"{_importable(sys.modules['__main__'])}:{attribute}"
    return reference


def _find(application: Application) -> tuple[ModuleType, str]:
    holders = [
        (module, attribute)
        for module in list(sys.modules.values())
        for attribute, value in list(getattr(module, "__dict__", {}).items())
        if value is application and attribute.isidentifier()
    ]
    if not holders:
        raise Misuse(
            f"application {application.name!r} stands in no module's variable, so that other processes cannot import "
            "it; write `app = Application(...)` at the top level of a module"
        )
    home = getattr(application.tree, "__module__", None)  # where the tree is defined comes first, the script last

    def rank(holder: tuple[ModuleType, str]) -> tuple[bool, bool, str, str]:
        name = holder[0].__name__
        return (name != home, name == "__main__", name, holder[1])

    return min(holders, key=rank)


def _importable(module: ModuleType) -> str:
    if module.__name__ != "__main__":
        return module.__name__
    specification = getattr(module, "__spec__", None)
    if specification is not None and specification.name not in ("__main__", None):
        return str(specification.name)  # `python -m package.module`
    file = getattr(module, "__file__", None)
    if file is None or not os.path.isfile(file):
        raise Misuse(
            "this application stands in an interactive session (notebook, prompt or standard input), which other "
            "processes cannot import; put it into a file, say counting.py, and write regrove.start('counting:app')"
        )
    return str(os.path.abspath(file))
