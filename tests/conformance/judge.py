"""OTP's own `supervisor` as the judge: random scripts, run through `erl +S 1`, and the words for what was seen.

Operations of one batch are all sent while the supervisor is suspended, so that they are simultaneous. What differs on
purpose (supervision.md 11) is put into one form here: an `ask` that goes to a child which is dead already, the detail
in the reason of a supervisor that gives up, the order of which_children. `active` of count_children is left out: OTP
looks whether the process lives, ours whether its exit was taken.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

from regrove.supervisor import requests as api
from regrove.supervisor.reasons import Crashed, Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.spec import Child, Supervisor

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
    calls = ["terminate_child", "restart_child", "delete_child", "get_spec", "which", "which", "count", "start_child"]
    call = rng.choice(calls)
    return "call", call, id, restart_of(rng)


def script(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    auto = rng.choice(["never", "never", "any_significant", "all_significant"])
    children = []
    for id in IDS[: rng.choice([0, 1, 2, 3, 4, 4, 4])]:
        restart = restart_of(rng)
        children.append((id, restart, auto != "never" and restart != "permanent" and rng.random() < 0.5))
    outcomes = {
        id: [rng.choice(["up", "up", "fail", "fail", "ignore"]) for _ in range(rng.randint(0, 12))] for id in IDS
    }
    return {
        "number": seed,
        "strategy": rng.choice(STRATEGIES),
        "intensity": rng.choice([0, 1, 2, 4, 8, 30]),
        "auto": auto,
        "children": children,
        "outcomes": {id: ["up", *rest] if rng.random() < 0.97 else rest for id, rest in outcomes.items()},
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


def supervisor_of(plan: dict[str, Any], factory: Any) -> Supervisor:
    """The supervisor of a script; each child gets its id as its argument."""
    children = [
        Child(id, factory, id, restart=restart, significant=counts, shutdown="infinity")
        for id, restart, counts in plan["children"]
    ]
    options = {"strategy": plan["strategy"], "intensity": plan["intensity"], "auto_shutdown": plan["auto"]}
    return Supervisor("s", children, period=3600.0, restart="temporary", **options)


def request_of(factory: Any, call: str, id: str, restart: Any) -> object:
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
            return api.StartChild(Child(id, factory, id, restart=restart, shutdown="infinity"))


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
