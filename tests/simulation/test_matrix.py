"""The determinism matrix: a seed has one digest, whatever process, heap, order, tool or Python runs it.

The worlds are those of matrix.py. A mismatch names the first event at which the two runs part.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from regrove.node.simulation.auditing.auditor import audit
from regrove.node.simulation.auditing.findings import Verdict
from regrove.node.simulation.auditing.launching import launcher
from regrove.node.simulation.trace import first_difference, read
from tests.simulation import matrix

ROOT = Path(__file__).parents[2]
HERE = f"python3.{sys.version_info.minor}"
SUPPORTED = ("python3.11", "python3.12", "python3.13")
MODULE = ("-m", "tests.simulation.matrix")


@pytest.fixture
def seeds(campaign: Callable[..., range]) -> range:
    return campaign("determinism matrix", short=3, long=1_000)


def elsewhere(seeds: range, command: list[str], hash_seed: int, *options: str, path: str = "") -> dict[int, str]:
    """What a fresh process prints."""
    done = subprocess.run(
        [*command, str(seeds[0]), str(seeds[-1]), *options],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {int(seed): digest for seed, digest in (line.split() for line in done.stdout.splitlines())}


def parting(seed: int, command: list[str], hash_seed: int, *options: str, folder: Path, path: str = "") -> str:
    """Where a seed that differs in another process parts from the run here."""
    file = folder / "other"
    elsewhere(range(seed, seed + 1), command, hash_seed, *options, "--write", str(file), path=path)
    told = first_difference(matrix.play(seed).trace, read(file.read_text().splitlines()))
    return f"{told or 'alone it is the same: what ran before it matters'}\n{audited(seed)[0]}"


def audited(*seeds: int) -> list[Verdict]:
    """What the audit says of seeds: which lines are to blame."""
    launch = launcher(lambda orders: [sys.executable, *MODULE, "--orders", str(orders)], ROOT)
    return audit([("", seed) for seed in seeds], launch)


@pytest.fixture(scope="module")
def plain() -> Callable[[range], dict[int, str]]:
    """The digests in this process, one after the other: what all others are held to."""
    known: dict[int, str] = {}

    def digests(seeds: range) -> dict[int, str]:
        for seed in seeds:
            if seed not in known:
                known[seed] = matrix.play(seed).trace.digest
        return {seed: known[seed] for seed in seeds}

    return digests


def assert_same(
    seeds: range, plain: Callable[[range], dict[int, str]], folder: Path, command: list[str], hash_seed: int,
    *options: str, path: str = "",
) -> None:  # fmt: skip
    here = plain(seeds)
    there = elsewhere(seeds, command, hash_seed, *options, path=path)
    assert list(there) == list(seeds)
    for seed in seeds:
        if there[seed] != here[seed]:
            told = parting(seed, command, hash_seed, *options, folder=folder, path=path)
            pytest.fail(f"seed {seed} has another digest under {command} {options} hash seed {hash_seed}\n{told}")


def test_backwards_in_the_same_process_with_a_disturbed_heap_it_is_the_same(
    seeds: range, plain: Callable[[range], dict[int, str]]
) -> None:
    again = {}
    for seed in reversed(seeds):
        clutter = matrix.disturb(seed + 1)
        again[seed] = matrix.play(seed).trace.digest
        del clutter
    assert again == plain(seeds)


@pytest.mark.parametrize("hash_seed", [0, 1, 42, 4_294_967_295])
def test_in_a_fresh_process_under_any_hash_seed_it_is_the_same(
    hash_seed: int, seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path
) -> None:
    assert_same(seeds, plain, tmp_path, [sys.executable, *MODULE], hash_seed)


def test_after_other_seeds_and_in_a_perturbed_heap_it_is_the_same(
    seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = "200" if request.config.getoption("--long") else "20"
    assert_same(seeds, plain, tmp_path, [sys.executable, *MODULE], 7, "--heap", "--before", before)


def test_without_assertions_it_is_the_same(
    seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path
) -> None:
    assert_same(seeds, plain, tmp_path, [sys.executable, "-O", *MODULE], 5)


def test_under_coverage_it_is_the_same(seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path) -> None:
    data = tmp_path / "coverage"
    options = ["--rcfile=/dev/null", f"--data-file={data}", "--branch", f"--source={ROOT}"]
    assert_same(seeds, plain, tmp_path, [sys.executable, "-m", "coverage", "run", *options, *MODULE], 6)
    assert data.exists()


def test_the_audit_says_nothing_of_the_worlds_of_the_matrix() -> None:
    assert [str(verdict) for verdict in audited(0, 1, 2) if not verdict.clean] == []


# --- every Python that is installed ----------------------------------------------------------------------------------


def python_named(name: str) -> str | None:
    """A program that is this Python: on the path, or where pyenv keeps it."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found: list[str | Path | None] = [
        shutil.which(name),
        *sorted(pyenv.glob(f"versions/{name.removeprefix('python')}.*/bin/{name}")),
    ]
    for program in found:
        if program is None:
            continue
        wanted = f"import sys; sys.exit(sys.version_info[:2] != (3, {name.rpartition('.')[2]}))"
        if subprocess.run([program, "-c", wanted], capture_output=True, check=False).returncode == 0:
            return str(program)
    return None


@pytest.mark.parametrize("name", [name for name in SUPPORTED if name != HERE])
def test_under_every_supported_python_it_is_the_same(
    name: str, seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path
) -> None:
    program = python_named(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    # A simulated run imports only msgpack besides us; its compiled part is of one Python, so its other half runs.
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "msgpack").symlink_to(Path(msgpack.__file__).parent)
    assert_same(seeds, plain, tmp_path, [program, "-B", *MODULE], 3, path=str(packages))


# --- pytest-xdist, in a random order ---------------------------------------------------------------------------------

ITEMS = """
from pathlib import Path

import pytest

from tests.simulation import matrix


@pytest.mark.parametrize("seed", range({first}, {last} + 1))
def test_seed(seed):
    Path({folder!r}, str(seed)).write_text(matrix.play(seed).trace.digest)
"""
SHUFFLED = """
from regrove.node.simulation.seeds import key_of


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: key_of({order}, item.nodeid))
"""


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_by_any_number_of_pytest_workers_in_a_random_order_it_is_the_same(
    workers: int, seeds: range, plain: Callable[[range], dict[int, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "digests"
    folder.mkdir()
    (tmp_path / "test_seeds.py").write_text(ITEMS.format(first=seeds[0], last=seeds[-1], folder=str(folder)))
    (tmp_path / "conftest.py").write_text(SHUFFLED.format(order=workers))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers), str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert {int(path.name): path.read_text() for path in folder.iterdir()} == plain(seeds)
