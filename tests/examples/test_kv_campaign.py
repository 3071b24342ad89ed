"""kv in sync mode under cuts, losses, crashes, power losses and disk faults: nothing acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.kv import app
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.examples import kv_world
from tests.examples.recorder import Client, Operation, Verdict, check_counter, check_final

PARTS = 20
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("part", range(PARTS))
def test_no_acknowledged_write_is_lost_and_none_is_done_twice(
    part: int, campaign: Callable[..., range], request: pytest.FixtureRequest
) -> None:
    count = len(campaign("kv, sync", short=500 // PARTS, long=10_000 // PARTS))
    seeds = range(part * count, (part + 1) * count)
    only = request.config.getoption("--sim-seed")
    if only is not None:
        if part:
            pytest.skip("--sim-seed runs one seed")
        seeds = range(only, only + 1)
    digests: dict[int, str] = {}
    totals: dict[str, int] = {}
    for seed in seeds:
        digests[seed], counts = kv_world.play(seed)
        for name, number in counts.items():
            totals[name] = totals.get(name, 0) + number
    if only is None:
        assert [name for name, number in totals.items() if not number] == []
        assert {"ok", "refused", "unknown", "crash-node", "sync-fails", "disk-full"} <= totals.keys()
    repeated = [seed for seed in seeds if seed % 10 == 0 or only is not None]
    assert digests_elsewhere(repeated, hash_seed=part + 1) == {seed: digests[seed] for seed in repeated}


def digests_elsewhere(seeds: list[int], hash_seed: int) -> dict[int, str]:
    """Run seeds in a fresh process under another hash seed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples.kv_world", *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {int(seed): digest for seed, digest in (line.split() for line in done.stdout.splitlines())}


def test_another_seed_is_another_run() -> None:
    assert kv_world.play(1)[0] != kv_world.play(2)[0]


# --- the checks find what they are there for -----------------------------------------------------------------------


def told(words: list[bytes], state: str, value: object = None, invoked: int = 0, answered: int = 1) -> Operation:
    return Operation(words, client=1, invoked=invoked, state=state, answered=answered, value=value)


def test_a_lost_write_is_found() -> None:
    verdict = Verdict([told([b"SET", b"own-1-1", b"5"], "ok", b"OK")])
    verdict.check()
    verdict.seen(b"own-1-1", b"5")
    with pytest.raises(AssertionError, match="own-1-1"):
        verdict.seen(b"own-1-1", None)


def test_a_refused_write_that_happened_is_found() -> None:
    verdict = Verdict([told([b"SET", b"own-1-1", b"5"], "refused")])
    verdict.check()
    with pytest.raises(AssertionError, match="own-1-1"):
        verdict.seen(b"own-1-1", b"5")


def test_an_unknown_write_may_have_happened_or_not() -> None:
    verdict = Verdict([told([b"MSET", b"own-1-1", b"5", b"own-1-2", b"6"], "unknown")])
    verdict.check()
    verdict.seen(b"own-1-1", b"5")
    verdict.seen(b"own-1-2", None)


def test_an_increment_done_twice_is_found() -> None:
    words = [b"INCR", b"counter-0"]
    with pytest.raises(AssertionError, match="2 increments acknowledged, 0 unknown"):
        check_final(b"counter-0", b"3", [told(words, "ok", 1), told(words, "ok", 2)])
    with pytest.raises(AssertionError, match="two increments"):
        check_counter(b"counter-0", [told(words, "ok", 1), told(words, "ok", 1)])


def test_a_counter_that_goes_back_is_found() -> None:
    reads = [told([b"GET", b"counter-0"], "ok", b"5", 0, 1), told([b"GET", b"counter-0"], "ok", b"4", 2, 3)]
    with pytest.raises(AssertionError, match="went back"):
        check_counter(b"counter-0", reads)


def loses(seed: int) -> bool:
    """Cut the power of a node without sync, and tell whether the checks saw what that lost."""
    with Simulation(app, cores=2, seed=seed) as sim:
        clients = [Client(sim, number, seed, kv_world.THINK) for number in range(kv_world.CLIENTS)]
        for client in clients:
            client.begin()
        sim.run("2s")
        for client in clients:
            client.stopped = True
        sim.inject(f.once("crash-node", "n0", at=0, lasts="100ms"))
        sim.run("10s")
        verdict = Verdict([each for client in clients for each in client.history])
        try:
            verdict.check()
            sim.eventually("every key can be read", lambda _: kv_world.read_all(sim, verdict))
        except AssertionError as problem:
            return "possible" in str(problem) or "acknowledged" in str(problem)
        return False


def test_without_sync_a_power_loss_does_lose_writes_and_the_campaign_sees_it() -> None:
    assert any(loses(seed) for seed in range(10))
