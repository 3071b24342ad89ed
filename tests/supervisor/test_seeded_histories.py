"""A million seeded histories: the intensity window, and supervisors of each strategy, against their naive twins."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from regrove.supervisor import requests as api
from regrove.supervisor.events import Event
from regrove.supervisor.intensity import Intensity
from regrove.supervisor.reasons import Killed, Normal, Reason, Shutdown
from regrove.supervisor.spec import Child, Strategy, Supervisor
from tests.supervisor.naive import Naive
from tests.supervisor.playbook import BOOM, SECOND, Playbook, Worker

MILLION = 1_000_000
IDS = "abcd"
REASONS: tuple[Reason, ...] = (BOOM, BOOM, Normal(), Shutdown(), Shutdown(BOOM), Killed())
OUTCOMES = ("up", "up", "up", "fail", "ignore")
AUTO: tuple[Any, ...] = ("never", "never", "any_significant", "all_significant")


def test_the_window_counts_what_a_list_of_all_restarts_counts(campaign: Callable[..., range]) -> None:
    for seed in campaign("intensity window against its naive twin", short=20_000, long=MILLION):
        rng = random.Random(seed)
        limit, period = rng.randrange(5), rng.choice((1, 1_000, SECOND))
        window, times, now = Intensity(limit, period / SECOND), [], 0
        for _ in range(rng.randrange(1, 12)):
            now += rng.choice((0, 0, 1, period // 3, period - 1, period, period + 1, 2 * period))
            times.append(now)
            inside = [time for time in times if now - time <= period]
            seen = (window.add(now), window.used(now), window.left(now), window.total)
            assert seen == (len(inside) <= limit, len(inside), max(0, limit - len(inside)), len(times)), f"seed {seed}"


def child(rng: random.Random, id: str, counts: bool) -> Child:
    restart: Any = rng.choice(("permanent", "permanent", "transient", "temporary"))
    significant = counts and restart != "permanent" and rng.random() < 0.5
    shutdown: Any = rng.choice(("brutal_kill", 5.0, "infinity"))
    return Child(id, Worker, restart=restart, significant=significant, shutdown=shutdown)


def request(rng: random.Random, id: str) -> Any:
    match rng.randrange(8):
        case 0 | 1:
            return api.TerminateChild(id)
        case 2 | 3:
            return api.RestartChild(id)
        case 4:
            return api.DeleteChild(id)
        case 5:
            return api.WhichChildren()
        case 6:
            return api.CountChildren()
        case _:
            return api.StartChild(child(rng, id, False))


def batch(rng: random.Random, book: Playbook) -> tuple[list[Event], list[tuple[Any, ...]]]:
    """Simultaneous ends and requests, for the machine and for its twin."""
    events: list[Event] = []
    mail: list[tuple[Any, ...]] = []
    for _ in range(rng.randrange(1, 5)):
        id = rng.choice(IDS)
        if rng.random() < 0.4:
            asked = book.request(request(rng, id))
            events.append(asked)
            mail.append(("request", asked.token, asked.request))
        elif id in book.alive:
            reason = rng.choice(REASONS)
            mail.append(("exit", book.address(id), reason))
            events.append(book.ends(id, reason))
    return events, mail


def agree(strategy: Strategy, seed: int) -> None:
    rng = random.Random(seed)
    auto = rng.choice(AUTO)
    children = [child(rng, id, auto != "never") for id in IDS[: rng.choice((1, 2, 3, 4, 4))]]
    spec = Supervisor("s", children, strategy=strategy, intensity=rng.randrange(7), period=5.0, auto_shutdown=auto)
    starts = {id: ["up", *(rng.choice(OUTCOMES) for _ in range(rng.randrange(6)))] for id in IDS}
    book, twin = Playbook(spec, starts), Naive(spec, starts)
    for _ in range(rng.randrange(1, 6)):
        gap = rng.choice((0, 0, 1, 3)) * SECOND
        book.now += gap
        twin.now += gap
        events, mail = batch(rng, book)
        if book.finished is None:
            book.give(*events)
        twin.give(mail)
    if book.finished is None:
        book.stop(Shutdown("end"))
        twin.give([("stop", Shutdown("end"))])
    assert book.trace == twin.trace, f"seed {seed}"
    assert (book.answers, book.finished) == (twin.answers, twin.finished), f"seed {seed}"


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_supervisor_of_each_strategy_does_what_its_naive_twin_does(
    campaign: Callable[..., range], strategy: Strategy
) -> None:
    for seed in campaign(f"histories of {strategy} against the naive twin", short=2_000, long=MILLION):
        agree(strategy, seed)
