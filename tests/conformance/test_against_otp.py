"""The machine alone, on a fake core, and supervisors on a real core, against OTP: equal traces script by script."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regrove.supervisor.actions import Action, AskStop
from regrove.supervisor.events import StopAsked
from regrove.supervisor.reasons import Shutdown, StartFailed
from tests.conformance.judge import REASONS, judged, request_of, script, shown, supervisor_of
from tests.conformance.on_a_core import on_a_core
from tests.supervisor.playbook import Playbook, Worker

SCRIPTS = 400


class Judged(Playbook):
    """Keeps the trace in the judge's words: a dead child hears no `ask`, and answers come after their batch."""

    def _carry_out(self, action: Action) -> None:
        heard = not isinstance(action, AskStop) or action.key in self.lives
        super()._carry_out(action)
        if not heard:
            self.trace.pop()


def on_a_fake_core(plan: dict[str, Any]) -> list[str]:
    book = Judged(supervisor_of(plan, Worker), plan["outcomes"])
    trace = book.trace
    if not book.up:
        assert isinstance(book.finished, Shutdown)
        assert isinstance(book.finished.detail, StartFailed)
        return [*trace[:-1], f"failed {book.finished.detail.id}"]
    for batch in plan["batches"]:
        if book.finished is None:
            serve(book, batch)
    if book.finished is None:
        book.give(StopAsked(Shutdown()))
    assert isinstance(book.finished, Shutdown)
    trace.remove("finish")
    return [*trace, "finish shutdown"]


def serve(book: Judged, batch: list[tuple[Any, ...]]) -> None:
    calls = []
    for step in batch:
        if step[0] == "exit":
            if step[1] in book.alive:
                book.inbox.append(book.ends(step[1], REASONS[step[2]]))
        else:
            calls.append(book.request(request_of(Worker, *step[1:])))
            book.inbox.append(calls[-1])
    book.run()
    for call in calls:
        answered = call.token in book.answers
        book.trace.append(f"answer {shown(book.answers[call.token]) if answered else 'ended'}")


@pytest.mark.skipif(shutil.which("erlc") is None, reason="needs Erlang/OTP (Debian: erlang-base) as the judge")
@pytest.mark.parametrize("ours", [on_a_fake_core, on_a_core], ids=lambda ours: ours.__name__)
def test_our_supervisors_leave_the_traces_that_otp_leaves(
    ours: Callable[[dict[str, Any]], list[str]], tmp_path: Path
) -> None:
    plans = [script(seed) for seed in range(SCRIPTS)]
    traces = judged(plans, tmp_path)
    assert len(traces) == SCRIPTS
    different = [plan for plan in plans if ours(plan) != traces[plan["number"]]]
    if different:
        first = different[0]
        theirs = "\n".join(traces[first["number"]])
        mine = "\n".join(ours(first))
        pytest.fail(f"{len(different)} of {SCRIPTS} differ, first {first}\n--- OTP\n{theirs}\n--- ours\n{mine}")
