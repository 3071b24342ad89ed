"""OTP's own `supervisor` as the judge: the same scripts through `erl +S 1` and through ours, traces compared.

Operations of one batch are all sent while the supervisor is suspended, so that they are simultaneous. What differs on
purpose (supervision.md 11) is put into one form here: an `ask` that goes to a child which is dead already, the detail
in the reason of a supervisor that gives up, the order of which_children. `active` of count_children is left out: OTP
looks whether the process lives, ours whether its exit was taken.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regrove.supervisor import requests as api
from regrove.supervisor.actions import Action, AskStop
from regrove.supervisor.events import StopAsked
from regrove.supervisor.reasons import Crashed, Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.spec import Child, Supervisor
from tests.supervisor.playbook import Playbook, Worker

SCRIPTS = 400
IDS = "abcd"
REASONS: dict[str, Reason] = {
    "boom": Crashed("boom"),
    "normal": Normal(),
    "shutdown": Shutdown(),
    "{shutdown,why}": Shutdown("why"),
}
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
ANSWERS = {
    api.NotFound: "not_found",
    api.Running: "running",
    api.Restarting: "restarting",
    api.AlreadyPresent: "already_present",
    StartFailed: "start_failed",
}


def restart_of(rng: random.Random) -> str:
    return rng.choice(["permanent", "permanent", "transient", "temporary"])


def operation(rng: random.Random) -> tuple[Any, ...]:
    id = rng.choice(IDS)
    if rng.random() < 0.6:
        return "exit", id, rng.choice(list(REASONS))
    call = rng.choice(["terminate_child", "restart_child", "delete_child", "get_spec", "which", "count", "start_child"])
    return "call", call, id, restart_of(rng)


def script(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    auto = rng.choice(["never", "never", "any_significant", "all_significant"])
    children = []
    for id in IDS[: rng.randint(0, 4)]:
        restart = restart_of(rng)
        children.append((id, restart, auto != "never" and restart != "permanent" and rng.random() < 0.5))
    outcomes = {id: [rng.choice(["up", "up", "up", "fail", "ignore"]) for _ in range(rng.randint(0, 8))] for id in IDS}
    return {
        "number": seed,
        "strategy": rng.choice(STRATEGIES),
        "intensity": rng.randint(0, 8),
        "auto": auto,
        "children": children,
        "outcomes": {id: ["up", *rest] if rng.random() < 0.8 else rest for id, rest in outcomes.items()},
        "batches": [[operation(rng) for _ in range(rng.randint(1, 4))] for _ in range(rng.randint(0, 8))],
    }


# For OTP.


def erlang_operation(step: tuple[Any, ...]) -> str:
    match step:
        case "exit", id, reason:
            return f"{{exit,{id},{reason}}}"
        case "call", ("which" | "count") as call, *_:
            return f"{{call,{call}_children}}"
        case "call", "start_child", id, restart:
            return f"{{call,{{start_child,{{{id},{restart},false}}}}}}"
        case _:
            return f"{{call,{{{step[1]},{step[2]}}}}}"


def erlang(plan: dict[str, Any]) -> str:
    flags = (
        f"#{{strategy=>{plan['strategy']},intensity=>{plan['intensity']},period=>3600,auto_shutdown=>{plan['auto']}}}"
    )
    children = ",".join(f"{{{id},{restart},{str(counts).lower()}}}" for id, restart, counts in plan["children"])
    outcomes = ",".join(f"{{{id},[{','.join(rest)}]}}" for id, rest in plan["outcomes"].items())
    batches = ",".join(f"[{','.join(map(erlang_operation, batch))}]" for batch in plan["batches"])
    return f"{{{plan['number']},{flags},[{children}],[{outcomes}],[{batches}]}}.\n"


def judged(plans: list[dict[str, Any]], folder: Path) -> dict[int, list[str]]:
    """Run all scripts through OTP and give the trace of each by its number."""
    source = Path(__file__).with_name("otp_judge.erl")
    subprocess.run(["erlc", "-o", str(folder), str(source)], check=True, timeout=120)
    scripts = folder / "scripts"
    scripts.write_text("".join(map(erlang, plans)))
    command = ["erl", "+S", "1", "-noshell", "-pa", str(folder), "-run", "otp_judge", "main", str(scripts)]
    done = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    traces: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("script "):
            trace = traces[int(line.split()[1])] = []
        else:
            trace.append(line)
    return traces


# For ours.


class Judged(Playbook):
    """Keeps the trace in the judge's words: a dead child hears no `ask`, and answers come after their batch."""

    def _carry_out(self, action: Action) -> None:
        heard = not isinstance(action, AskStop) or action.key in self.lives
        super()._carry_out(action)
        if not heard:
            self.trace.pop()


def ours(plan: dict[str, Any]) -> list[str]:
    children = [
        Child(id, Worker, restart=restart, significant=counts, shutdown="infinity")
        for id, restart, counts in plan["children"]
    ]
    options = {"strategy": plan["strategy"], "intensity": plan["intensity"], "auto_shutdown": plan["auto"]}
    book = Judged(Supervisor("s", children, period=3600.0, **options), plan["outcomes"])
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
            calls.append(book.request(request_of(*step[1:])))
            book.inbox.append(calls[-1])
    book.run()
    for call in calls:
        answered = call.token in book.answers
        book.trace.append(f"answer {shown(book.answers[call.token]) if answered else 'ended'}")


def request_of(call: str, id: str, restart: Any) -> object:
    match call:
        case "terminate_child":
            return api.TerminateChild(id)
        case "restart_child":
            return api.RestartChild(id)
        case "delete_child":
            return api.DeleteChild(id)
        case "get_spec":
            return api.GetSpec(id)
        case "which":
            return api.WhichChildren()
        case "count":
            return api.CountChildren()
        case _:
            return api.StartChild(Child(id, Worker, restart=restart, shutdown="infinity"))


def shown(answer: Any) -> str:
    match answer:
        case None:
            return "none"
        case True:
            return "ok"
        case "restarting":
            return "restarting"
        case api.AlreadyStarted(address):
            return f"{{already_started,{shown(address)}}}"
        case api.Counts(specs, _, supervisors, workers):
            return f"[{specs},{supervisors},{workers}]"
        case Child():
            return answer.restart
        case (str(id), int(number)):
            return f"{{{id},{number}}}"
        case tuple():
            return f"[{','.join(f'{{{row.id},{shown(row.address)}}}' for row in answer)}]"
        case _:
            return ANSWERS[type(answer)]


@pytest.mark.skipif(shutil.which("erlc") is None, reason="needs Erlang/OTP (Debian: erlang-base) as the judge")
def test_our_supervisors_leave_the_traces_that_otp_leaves(tmp_path: Path) -> None:
    plans = [script(seed) for seed in range(SCRIPTS)]
    traces = judged(plans, tmp_path)
    assert len(traces) == SCRIPTS
    different = [plan for plan in plans if ours(plan) != traces[plan["number"]]]
    if different:
        first = different[0]
        theirs = "\n".join(traces[first["number"]])
        mine = "\n".join(ours(first))
        pytest.fail(f"{len(different)} of {SCRIPTS} differ, first {first}\n--- OTP\n{theirs}\n--- ours\n{mine}")
