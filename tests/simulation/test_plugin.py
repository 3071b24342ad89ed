"""`@simulate` under pytest: items, seeds, stories, workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from regrove import Misuse
from regrove.node.simulation.campaign import empty
from regrove.node.simulation.cases import Case
from regrove.node.simulation.items import Item
from regrove.node.simulation.plugin import Judge
from regrove.testing import Simulation, simulate
from regrove.testing import faults as f
from tests.simulation.apps import Add, Total, counting

ROOT = Path(__file__).parents[2]

CAMPAIGN = """
import os
from pathlib import Path

import pytest

from regrove.testing import faults as f, simulate
from tests.simulation.apps import Add, Counter, Total, counting


@simulate(app=counting, nodes=2, cores=2, seeds=7, faults=f.swarm(f.cut(), f.crash(), f.slow()))
def test_digests(sim, request):
    sim.run("2s")
    Path(os.environ["DIGESTS"], str(sim.seed)).write_text(sim.trace.digest)


@simulate(app=counting, seeds=60)
def test_fails_for_some(sim):
    sim.always("small", lambda world: all(counter.total <= 10 for counter in world.isolates(Counter)))
    if sim.seed in (5, 41):
        sim.send("counter", Add(1))
    sim.run("1s")


@simulate(app=counting, nodes=2, seeds=2, search="exhaustive", faults=f.swarm(f.crash("node")))
def test_in_every_order(sim):
    sim.run("20ms")
    assert sim.seed


@simulate(app=counting, seeds=25)
def test_without_faults(sim):
    pass


@simulate(app=counting, nodes=2, seeds=25, faults=f.cut(often=(0, 1)))
def test_with_a_kind_that_never_fires(sim):
    sim.run("1s")
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "digests").mkdir(parents=True, exist_ok=True)
    (folder / "test_campaign.py").write_text(CAMPAIGN)
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
            "--rootdir", str(folder), *options, str(folder / "test_campaign.py"),
        ],
        env={"PYTHONPATH": str(ROOT), "DIGESTS": str(folder / "digests"), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip


def failures(output: str) -> list[str]:
    lines = [line.split(" - ")[0] for line in output.splitlines() if line.startswith("FAILED")]
    return sorted(line.rpartition("::")[2] for line in lines)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted((folder / "digests").iterdir())}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("alone")
    return folder, run(folder, "-p", "no:xdist").stdout


def test_a_campaign_is_one_item_a_range_of_seeds(alone: tuple[Path, str]) -> None:
    folder, output = alone
    assert len(digests(folder)) == 7
    assert "3 failed, 52 passed" in output, output


def test_the_ranges_with_failing_seeds_fail(alone: tuple[Path, str]) -> None:
    assert failures(alone[1]) == [
        "test_fails_for_some[seeds 3-5]", "test_fails_for_some[seeds 39-41]", "test_in_every_order[seed 0]",
    ]  # fmt: skip


def test_a_campaign_whose_faults_never_fire_fails_the_run(tmp_path: Path, alone: tuple[Path, str]) -> None:
    told = "test_with_a_kind_that_never_fires: enabled and never fired in 25 seeds: cut"
    assert told in alone[1]
    done = run(tmp_path, "-k", "never_fires", "-n", "2")
    assert told in done.stdout
    assert done.returncode == 1


def test_a_campaign_tells_its_kinds_in_an_order_that_no_worker_decides() -> None:
    def told(*results: dict[str, object]) -> list[str]:
        lines: list[str] = []
        judge = Judge()
        for result in results:
            judge._add({**empty(Item("t")), "seeds": 20, **result})
        judge.pytest_terminal_summary(SimpleNamespace(write_line=lambda line, **_: lines.append(line)))
        return lines

    one = {"fired": {"cut": 1, "swizzle": 0}, "held": {"ended": True, "began": True}}
    other = {"fired": {"crash-core": 2, "beat": 0}, "held": {"a": False}}
    assert told(one, other) == told(other, one)
    assert told(one, other)[0] == (
        "simulated t: 40 seeds; fired: beat 0, crash-core 2, cut 1, swizzle 0; reached: began, ended"
    )


def test_only_kinds_that_seeds_enabled_are_told_of_a_campaign(tmp_path: Path, alone: tuple[Path, str]) -> None:
    assert "test_in_every_order: 2 seeds, 1 failed; fired: crash-node 0\n" in alone[1]
    plan = (f.once("crash-isolate", "n0/0:root/other", at="100ms"), f.once("pause", "n0/0", at="9s", lasts="1s"))
    for number, struck in enumerate(plan):
        Case("test_campaign.py::test_without_faults", number, (struck,)).write(tmp_path / ".regrove/cases")
    done = run(tmp_path, "-k", "without_faults", "-n", "0")
    assert "simulated test_campaign.py::test_without_faults: 25 seeds; fired: no faults" in done.stdout
    assert done.returncode == 0, done.stdout


def test_a_failing_seed_tells_its_story(alone: tuple[Path, str]) -> None:
    output = alone[1]
    assert "simulation of counting: seed 41" in output
    assert "violated: PropertyViolated: always 'small'" in output
    assert "handle Add" in output
    assert "plan: no faults are needed" in output
    assert "test_campaign.py::test_fails_for_some' --sim-replay" in output


def test_a_failing_case_is_kept_runs_first_and_is_replayed_alone(alone: tuple[Path, str]) -> None:
    folder, _ = alone
    (kept,) = (folder / ".regrove" / "cases").glob("test_campaign-test_fails_for_some-*-41.json")
    assert '"seed": 41' in kept.read_text()
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null"]
    environment = {"PYTHONPATH": str(ROOT), "DIGESTS": str(folder / "digests"), "PATH": "", "COLUMNS": "200"}

    def outcomes(*options: str) -> list[str]:
        done = subprocess.run(
            [*command, "--rootdir", str(folder), *options, str(folder / "test_campaign.py")],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        words = [line.partition("::")[2].split(" ")[:3] for line in done.stdout.splitlines() if "[case" in line]
        return [" ".join(found) for found in words if found[-1] in ("PASSED", "FAILED")]

    assert outcomes("--sim-replay", str(kept)) == ["test_fails_for_some[case 41] FAILED"]
    assert outcomes("-x")[0] == "test_fails_for_some[case 41] FAILED"


def test_a_case_of_another_test_names_the_command_that_replays_it(tmp_path: Path) -> None:
    file = Case("shop:app checks:money", 3, ()).write(tmp_path)
    done = run(tmp_path, "--sim-replay", str(file))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"is a case of shop:app checks:money, which is not among these tests: run regrove sim replay {file}" in (
        done.stdout + done.stderr
    )
    file.write_text("{")
    assert "is no case file: it is not JSON" in run(tmp_path / "broken", "--sim-replay", str(file)).stderr


def test_one_seed_is_run_again_by_its_number(tmp_path: Path) -> None:
    done = run(tmp_path, "--sim-seed", "41", "-k", "fails_for_some")
    assert failures(done.stdout) == ["test_fails_for_some[seed 41]"]
    assert len(list(tmp_path.rglob("*-41.json"))) == 1
    again = run(tmp_path, "--sim-seed", "41", "-k", "fails_for_some")
    assert "has no more" not in again.stdout, "its case did not run, and is none that cannot"
    done = run(tmp_path / "other", "--sim-seed", "6", "-k", "fails_for_some")
    assert "1 passed" in done.stdout


def test_an_option_holds_for_all_tests_or_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "one", "--sim-search", "exhaustive", "-k", "never_fires", "-n", "0")
    assert "schedules" in done.stdout, done.stdout
    done = run(tmp_path / "less", "--sim-audit-every", "-1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--sim-audit-every takes K" in done.stderr
    done = run(tmp_path / "other", "--sim-search", "guessing")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--sim-search: search='guessing': the strategies are random, swarm" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_any_number_of_workers_gives_the_same(workers: str, tmp_path: Path, alone: tuple[Path, str]) -> None:
    done = run(tmp_path, "-n", workers)
    assert failures(done.stdout) == failures(alone[1]), done.stdout
    assert digests(tmp_path) == digests(alone[0])


def test_the_plugin_imports_nothing_of_ours_until_it_is_needed() -> None:
    program = "import sys; import regrove.node.simulation.plugin; print('regrove.node.core.core' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@simulate(app=counting, nodes=2, cores=2, seeds=30, faults=f.swarm(f.crash(often=(1, 1)), f.slow(often=(1, 1))))
def test_the_decorator_works_here_with_fixtures(sim: Simulation, tmp_path: Path) -> None:
    assert tmp_path.exists()
    sim.run("2s")
    sim.calm(keep="all")
    sim.eventually("answers", lambda world: world.client.call("counter", Total()) == 10)
    sim.sometimes("a core was replaced", any(core.incarnation > 1 for node in sim.nodes for core in node.cores))
    sim.send("counter", Add(1))
    sim.settle()


def test_a_fault_by_hand_that_struck_nothing_is_told_of_a_single_seed_too() -> None:
    lines: list[str] = []
    judge = Judge()
    judge._add({**empty(Item("t")), "seeds": 1, "fired": {"crash-isolate": 0}})
    judge._add({**empty(Item("quiet")), "seeds": 1, "fired": {"cut": 1}})
    judge.pytest_terminal_summary(SimpleNamespace(write_line=lambda line, **_: lines.append(line)))
    assert lines == ["simulated t: 1 seed; fired: crash-isolate 0"]


def test_a_buggify_that_never_held_is_told_where_it_comes_from() -> None:
    judge = Judge()
    judge._add({**empty(Item("t")), "seeds": 25, "fired": {"buggify": 0, "cut": 1}})
    (problem,) = judge.problems()
    assert problem.endswith("25 seeds: buggify; buggify needs a ctx.buggify(...) that the application comes by")


def test_bad_use_of_the_decorator_is_refused() -> None:
    with pytest.raises(Misuse, match="takes `sim` first"):
        simulate(app=counting)(lambda world: None)
    with pytest.raises(Misuse, match="seeds is an int"):
        simulate(app=counting, seeds=0)
    with pytest.raises(Misuse, match="takes an Application: write @simulate"):
        simulate("shop:app")  # type: ignore[arg-type]  # as people write it
    with pytest.raises(Misuse, match="settings are names with values"):
        simulate(app=counting, settings=["port=1"])  # type: ignore[arg-type]
