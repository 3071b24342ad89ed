"""The modules that can be compiled are there, mypyc takes them, and compiled they do what they do interpreted."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from benchmarks.compiling import compile_in, copy_to

ROOT = Path(__file__).parent.parent
PROMISES = [
    "tests/core/test_turns.py",
    "tests/core/test_letters_and_batches.py",
    "tests/core/test_waits_at_the_door.py",
    "tests/core/test_books.py",
    "tests/core/test_names.py",
    "tests/core/test_timers.py",
    "tests/core/test_between_cores.py",
    "tests/core/test_calls.py",
    "tests/core/test_restarts_at_once.py",
    "tests/core/test_supervisors_at_work.py",
    "tests/simulation/test_seeds.py",
    "tests/simulation/test_trace.py",
]
DIGESTS = """
import sys
from benchmarks.simulation import FAULTS, app
from regrove.node.core import single
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation import apps
everything = f.swarm(f.cut(), f.pause(), f.crash(), f.crash(on="node"), f.loss(), f.slow(), f.delay(), f.disk())
for seed in range(3):
    with Simulation(app, nodes=5, seed=seed, faults=FAULTS) as sim:
        sim.run("5s")
    print(sim.trace.digest, sim.counters())
    with Simulation(apps.everything, nodes=2, cores=2, seed=seed, faults=everything) as sim:
        sim.run("3s")
    print(sim.trace.digest, sim.counters())
print(single.__file__, file=sys.stderr)
"""


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done


def classes(path: Path) -> list[tuple[str, str]]:
    """The classes of a module, each with every one of its bases, and once with none."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    return [(node.name, ast.unparse(base)) for node in found for base in (*node.bases, ast.Constant(None))]


def test_every_module_to_be_compiled_is_there() -> None:
    said = run(
        sys.executable, "-c", "import setuptools; setuptools.setup = lambda **_: None; from setup import COMPILED\n"
        "print(*COMPILED, sep='\\n')", cwd=ROOT, REGROVE_COMPILE="",
    )  # fmt: skip
    names = said.stdout.split()
    assert names
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_nothing_interpreted_extends_what_is_compiled() -> None:
    """Such a class cannot be used once its base is compiled."""
    said = run(
        sys.executable, "-c", "import setuptools; setuptools.setup = lambda **_: None; from setup import COMPILED\n"
        "print(*COMPILED, sep='\\n')", cwd=ROOT, REGROVE_COMPILE="",
    )  # fmt: skip
    compiled = {ROOT / name for name in said.stdout.split()}
    ours = [
        path for folder in ("node", "supervisor", "transport") for path in (ROOT / "regrove" / folder).rglob("*.py")
    ]
    bases = {name for path in compiled for name, _ in classes(path)} - {"Sends"}  # which says that it may be
    found = [(path.name, name, base) for path in ours if path not in compiled for name, base in classes(path)]
    assert len(found) > 100
    assert [(where, name, base) for where, name, base in found if base in bases] == []


def test_nothing_is_compiled_unless_asked_for(tmp_path: Path) -> None:
    root = copy_to(tmp_path / "copy")
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=root, REGROVE_COMPILE="")
    assert list(root.rglob("*.so")) == []


def test_mypyc_takes_the_modules(tmp_path: Path) -> None:
    pytest.importorskip("mypyc")
    root = copy_to(tmp_path / "copy")
    run(
        sys.executable, "-c", "import setuptools; setuptools.setup = lambda **_: None; import setup\n"
        "from mypyc.build import mypycify; mypycify([*setup.OPTIONS, *setup.COMPILED])", cwd=root, REGROVE_COMPILE="",
    )  # fmt: skip
    assert list((root / "build").glob("*.c"))


def test_compiled_the_same_seed_gives_the_same_digest(tmp_path: Path) -> None:
    pytest.importorskip("mypyc")
    if shutil.which(str(sysconfig.get_config_var("CC") or "cc").split()[0]) is None:
        pytest.skip("there is no C compiler")
    root = copy_to(tmp_path / "copy")
    plain = run(sys.executable, "-c", DIGESTS, cwd=root)
    compile_in(root, level="0")
    compiled = run(sys.executable, "-c", DIGESTS, cwd=root)
    assert plain.stderr.strip().endswith(".py")
    assert compiled.stderr.strip().endswith(".so")
    assert compiled.stdout == plain.stdout
    # And what isolates.md promises holds of it, the texts of refusals included.
    run(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *PROMISES, cwd=root)
