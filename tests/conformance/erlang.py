"""A script as OTP's judge reads it: one Erlang term a line."""

from __future__ import annotations

from typing import Any

from tests.conformance.scripts import AnySpec, Batch, Leaf, Pool, Script, Tree


def term(value: Any) -> str:
    """Atoms are written as texts; numbers, flags and maps as they are."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return f"#{{{','.join(f'{key}=>{term(item)}' for key, item in value.items())}}}"
        case list() | tuple():
            return f"[{','.join(map(term, value))}]"
        case _:
            return str(value)


def spec(value: AnySpec) -> str:
    match value:
        case Leaf(id, options, manner):
            return f"{{leaf,{id},{term(options)},{manner}}}"
        case Tree(id, flags, children, options):
            return f"{{tree,{id},{flags_of(flags)},[{','.join(map(spec, children))}],{term(options)}}}"
        case Pool(id, flags, template, options):
            return f"{{pool,{id},{flags_of(flags)},{spec(template)},{term(options)}}}"


def flags_of(flags: dict[str, Any]) -> str:
    return term(flags | {"period": flags["period"] // 1_000})


def step(value: tuple[Any, ...]) -> str:
    match value:
        case "call", "start", addition:
            return f"{{call,{{start,{spec(addition)}}}}}"
        case "call", call:
            return f"{{call,{call}}}"
        case "call", call, id:
            return f"{{call,{{{call},{id}}}}}"
        case _:
            return f"{{{','.join(value)}}}"


def batch(value: Batch) -> str:
    return f"{{{value.gap},{value.target},[{','.join(map(step, value.steps))}]}}"


def erlang(script: Script) -> str:
    outcomes = ",".join(f"{id}=>{term(rest)}" for id, rest in script.outcomes.items())
    batches = ",".join(map(batch, script.batches))
    return f"{{{script.number},{spec(script.top)},#{{{outcomes}}},[{batches}],{script.end}}}.\n"
