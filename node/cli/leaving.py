"""Commands that let a node finish what it has: drain, leave."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from regrove.node.cli.failing import FAILED, complain
from regrove.node.cli.options import control, json_option, node_option, print_json
from regrove.node.cli.tables import left_text

LOOK_S: Final = 0.1
ANSWER_S: Final = 5.0  # what the manager has for one answer


@click.command()
@node_option
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="How long to wait, in s."
)
@json_option
def drain(node: str | None, timeout: float, as_json: bool) -> int:
    """Take no new work from outside and wait until nothing is left; the node stays up.

    Exit code 1 when something is left after --timeout; it goes on to drain.
    """
    deadline = time.monotonic() + timeout
    with control(node, ANSWER_S) as manager:
        manager.ask("drain")
        while (shape := manager.ask("status"))["state"] == "draining" and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    drained = shape["state"] == "drained"
    if as_json:
        left = {str(core["core"]): core["left"] for core in shape["cores"]}
        print_json({"node": shape["node"], "drained": drained, "left": left})
    elif drained:
        click.echo(f"{shape['node']} is drained; it takes no new work until it is started again")
    if drained:
        return 0
    return complain(
        f"{shape['node']} is {shape['state']}{_left(shape)}; see `regrove status`, or `regrove stop`", FAILED
    )


@click.command()
@node_option
@click.option(
    "--timeout", type=click.FloatRange(min=0), help="How long to wait, in s.  [default: its drain limit + 5 s]"
)
@json_option
def leave(node: str | None, timeout: float | None, as_json: bool) -> int:
    """Drain a node for at most half its drain limit, then stop it in order; it leaves the cluster."""
    with control(node, ANSWER_S) as manager:
        limit = float(manager.ask("leave")["limit"])
        gone = manager.wait_closed(limit + 5.0 if timeout is None else timeout)
        name = manager.node
    if as_json:
        print_json({"node": name, "left": gone})
    elif gone:
        click.echo(f"{name} has left")
    return (
        0 if gone else complain(f"{name} is still leaving; wait longer with --timeout, or `regrove stop --now`", FAILED)
    )


def _left(shape: dict[str, Any]) -> str:
    parts = []
    for core in shape["cores"]:
        if core["left"] is None and core["pid"] is not None:
            parts.append(f"core {core['core']} has not said what it has")
        elif any((core["left"] or {}).values()):
            parts.append(f"core {core['core']} has {left_text(core['left'])}")
    return f": {'; '.join(parts)}" if parts else ""
