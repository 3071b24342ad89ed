"""`regrove new NAME`: a project folder with an application, its tests in simulation, and how to go on."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from pathlib import Path
from string import Template
from typing import Final

import click

from regrove.node.cli.options import UsageProblem

NAME_LENGTH_MAX: Final = 64  # characters

APPLICATION: Final = '''\
"""The application $name: `regrove start $name:app`, then `regrove call counter '$name:Total()'`."""

from __future__ import annotations

from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Place, Reply, Supervisor, message


@message
class Add:
    amount: int


@message
class Total:
    pass


class Counter(Isolate):
    def __init__(self) -> None:
        self.total = 0

    def handle(self, ctx: Context, message: Add | Total) -> Effect:
        match message:
            case Add(amount):
                self.total += amount
                return RECEIVE
            case Total():
                return Reply(self.total)


def tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("counter", Counter, name="counter")])


app = Application("$name", tree=tree)
'''

TEST: Final = '''\
"""$name in simulation: a whole cluster in one thread, on virtual time."""

from __future__ import annotations

from regrove.testing import Simulation, simulate
from regrove.testing import faults as f

from $name import Add, Counter, Total, app


def test_the_counter_adds() -> None:
    with Simulation(app) as sim:
        sim.send("counter", Add(2))
        sim.send("counter", Add(3))
        sim.settle()
        assert sim.call("counter", Total()) == 5


def test_a_counter_that_was_killed_is_started_again() -> None:
    with Simulation(app) as sim:
        sim.send("counter", Add(2))
        sim.settle()
        sim.kill(sim.find("root/counter"))
        sim.settle()
        assert sim.call("counter", Total()) == 0
        assert sim.find("root/counter").incarnation == 2


@simulate(app=app, nodes=2, cores=2, seeds=5, faults=f.swarm(f.cut(), f.pause(), f.crash()))
def test_every_core_counts_again_after_faults(sim: Simulation) -> None:
    sim.run("20s")
    sim.calm()
    sim.eventually("a counter on every core", lambda world: len(world.isolates(Counter)) == 4, within="60s")
'''

PROJECT: Final = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$name"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["regrove"]

[project.optional-dependencies]
test = ["pytest>=8.0"]

[tool.setuptools]
py-modules = ["$name"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

README: Final = """\
# $name

An application of regrove: `$name.py` has one isolate, a counter, under a supervisor on every core.

```sh
pip install pytest                              # once
python -m pytest                                # its tests, in simulation
regrove check $name:app                         # build the tree and validate it; nothing runs
regrove start $name:app --cores 2               # run it here; Ctrl-C stops it
```

While it runs, from another terminal in this folder:

```sh
regrove status
regrove tree
regrove call counter '$name:Total()'
regrove stop
```
"""


@click.command()
@click.argument("name")
def new(name: str) -> int:
    """Make the folder NAME with an application that runs, its tests in simulation, a pyproject.toml and a README.

    NAME is what one imports: lower-case letters, digits and _, beginning with a letter.
    """
    _check_name(name)
    _make(Path(name), name)
    click.echo(f"made {name}: an application, its tests, pyproject.toml, README.md; next:")
    click.echo(f"  cd {name}\n  pip install pytest\n  python -m pytest\n  regrove start {name}:app")
    return 0


def _check_name(name: str) -> None:
    import importlib.util

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > NAME_LENGTH_MAX:
        rule = f"at most {NAME_LENGTH_MAX} lower-case letters, digits and _, the first one a letter"
        raise UsageProblem(f"{name[:80]!r} is no name for a module; write {rule}, for example shop")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "tests":
        raise UsageProblem(f"{name!r} means something else in Python already; take another name, for example my_{name}")
    if not Path(name).exists() and importlib.util.find_spec(name) is not None:
        raise UsageProblem(f"a module named {name!r} is installed already; take another name, for example my_{name}")


def _make(folder: Path, name: str) -> None:
    """Make `folder` with all its files, or none of it."""
    from regrove.node.core.errors import Misuse

    files = {
        f"{name}.py": APPLICATION,
        f"tests/test_{name}.py": TEST,
        "pyproject.toml": PROJECT,
        "README.md": README,
    }
    try:
        folder.mkdir()
    except FileExistsError:
        raise Misuse(f"{folder} is there already: take another name, or remove it first") from None
    except OSError as problem:
        raise Misuse(
            f"cannot make the folder {folder} here: {problem.strerror}; go to a folder you may write to"
        ) from None
    try:
        (folder / "tests").mkdir()
        for path, text in files.items():
            (folder / path).write_text(Template(text).substitute(name=name), encoding="utf-8")
    except BaseException as problem:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(problem, OSError):
            raise Misuse(f"cannot write {problem.filename}: {problem.strerror}; nothing was made") from None
        raise
