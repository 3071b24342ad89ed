"""The auditing side: has seeds run in other processes and other ways, compares, and says which lines are to blame.

First each seed runs twice: watched, and in a process of another hash seed with everything else different too. Where
the digests differ and the watch saw nothing, the seed runs once more in each way alone, recorded line by line: the
first way that differs is the cause, the first row that differs the line.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from regrove.node.simulation.auditing.findings import Finding, Verdict
from regrove.node.simulation.auditing.lines import Row, parting
from regrove.node.simulation.auditing.variants import (
    DEEP,
    GARBAGE,
    HEAP,
    WARM,
    WAYS,
    Order,
    answer_of,
    write_orders,
)
from regrove.node.simulation.trace import first_difference, read

FIRST: Final = "1"  # hash seeds
SECOND: Final = "2"
HIDDEN: Final = (
    "no line can be named: the runtime is compiled here (REGROVE_COMPILE=1), which hides who called the application; "
    "audit the seed where regrove is interpreted"
)

Launch: TypeAlias = Callable[[str, Path], None]  # starts a process under a hash seed that serves a file of orders


class Cause(NamedTuple):
    """A way that makes a run differ, by itself: what it changes, and what mends that."""

    hash_seed: str
    ways: tuple[str, ...]
    what: str
    mend: str


CAUSES: Final = (
    Cause(FIRST, (), "a run right after it, with nothing changed", "it reads a clock, chance or the machine: use ctx"),
    Cause(FIRST, (HEAP,), "another heap", "id(), a default repr, or the order of objects in a set: give them numbers"),
    Cause(FIRST, (GARBAGE,), "another time of garbage collection", "a weak reference or __del__: say when it ends"),
    Cause(FIRST, (DEEP,), "a deeper stack", "it counts or exhausts frames: count what you hold yourself"),
    Cause(FIRST, (WARM,), "a seed run before", "a global, class attribute, default or cache remembers: use self"),
    Cause(SECOND, (), "another hash seed", "the order of a set, or hash() of a text: sort it, or keep a dict"),
    Cause(SECOND, WAYS, "all of it together", "an address, or a hash of None: give things numbers"),
)


def audit(subjects: Sequence[tuple[str, int]], launch: Launch) -> list[Verdict]:
    """Judge (subject, seed) pairs; a subject is a word that the launched process understands, `""` the only one."""
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="regrove-audit-") as folder:
        watched = [Order(number, *pair, watched=True) for number, pair in enumerate(subjects)]
        first = _answers(watched, FIRST, launch, Path(folder, "watched"))
        for (_, seed), answer in zip(subjects, first, strict=True):
            verdicts.append(Verdict(seed, [Finding(**row) for row in answer["findings"]], "", answer["digest"]))
        silent = [number for number, verdict in enumerate(verdicts) if not verdict.findings]
        others = [Order(number, *subjects[number], ways=WAYS) for number in silent]
        second = _answers(others, SECOND, launch, Path(folder, "other"))
        unexplained = [number for number, answer in zip(silent, second, strict=True) if _differ(first[number], answer)]
        explained = _explain([subjects[number] for number in unexplained], launch, Path(folder))
        for number, verdict in zip(unexplained, explained, strict=True):
            verdicts[number] = verdict
    return [_hidden(verdict) if is_compiled() else verdict for verdict in verdicts]


def is_compiled() -> bool:
    """Whether what calls an application is compiled: its frames cannot be seen then."""
    found = find_spec("regrove.node.core.scheduler")
    return found is not None and not str(found.origin).endswith(".py")


def _hidden(verdict: Verdict) -> Verdict:
    """Say of a verdict without a line why it has none."""
    if verdict.clean or verdict.findings:
        return verdict
    return replace(verdict, parting=f"{verdict.parting}\n{HIDDEN}")


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["digest"], one["error"]) != (other["digest"], other["error"])


def _answers(orders: list[Order], hash_seed: str, launch: Launch, folder: Path) -> list[dict[str, Any]]:
    if not orders:
        return []
    folder.mkdir()
    file = folder / "orders"
    write_orders(orders, file)
    launch(hash_seed, file)
    return [json.loads(answer_of(order, folder).read_text()) for order in orders]


def _explain(subjects: Sequence[tuple[str, int]], launch: Launch, folder: Path) -> list[Verdict]:
    answers: dict[tuple[int, int], dict[str, Any]] = {}
    traces: dict[tuple[int, int], Path] = {}
    for hash_seed in (FIRST, SECOND):
        runs = [(at, which) for at in range(len(subjects)) for which in _runs(hash_seed)]
        orders = [
            Order(number, *subjects[at], CAUSES[max(which, 0)].ways, recorded=True)
            for number, (at, which) in enumerate(runs)
        ]
        place = folder / f"recorded-{hash_seed}"
        for order, run, answer in zip(orders, runs, _answers(orders, hash_seed, launch, place), strict=True):
            answers[run] = answer
            traces[run] = answer_of(order, place).with_suffix(".trace")
    return [
        _explained(seed, [answers[at, which] for which in range(-1, len(CAUSES))],
                   [traces[at, which] for which in range(-1, len(CAUSES))])
        for at, (_, seed) in enumerate(subjects)
    ]  # fmt: skip


def _runs(hash_seed: str) -> list[int]:
    """The causes to try under a hash seed; -1 is the run that all are compared with."""
    tried = [which for which, cause in enumerate(CAUSES) if cause.hash_seed == hash_seed]
    return [-1, *tried] if hash_seed == FIRST else tried


def _explained(seed: int, answers: list[dict[str, Any]], traces: list[Path]) -> Verdict:
    first, *rest = answers
    for cause, answer, trace in zip(CAUSES, rest, traces[1:], strict=True):
        if not _differ(first, answer):
            continue
        told = f"it is not the same under {cause.what}"
        left, right = (read(path.read_text().splitlines()) for path in (traces[0], trace))
        event = first_difference(left, right) or f"the failures differ: {first['error']!r}, {answer['error']!r}"
        found = parting([Row(*row) for row in first["rows"]], [Row(*row) for row in answer["rows"]])
        if found is None:
            return Verdict(seed, [], f"{told}: {cause.mend}\n{event}")
        row, what = found
        finding = Finding(
            row.file, row.line, f"{what} in {row.function} is not the same under {cause.what}", cause.mend
        )
        return Verdict(seed, [finding], event)
    return Verdict(seed, [], "it differed once between two processes, and not when it was run again line by line")
