"""Commands that look at a node: status, tree, members, links."""

from __future__ import annotations

from typing import Any

import click

from regrove.node.cli.failing import DOWN, FAILED, complain
from regrove.node.cli.options import control, json_option, local, print_json
from regrove.node.cli.tables import link_lines, status_lines, table, tree_lines


@click.command()
@local
@json_option
@click.option("--live", is_flag=True, help="Only the exit code: 0 while the manager answers, ready or not.")
@click.option("--ready", is_flag=True, help="Only the exit code: 0 when every core is ready, else 1 (2: down).")
def status(node: str | None, timeout: float, as_json: bool, live: bool, ready: bool) -> int:
    """Say how a node is. Exit code 0: ready; 1: it runs but a core is not ready; 2: it does not answer."""
    from regrove.node.core.errors import RegroveError

    try:
        with control(node, timeout) as manager:
            shape: dict[str, Any] = manager.ask("status")
    except RegroveError as problem:
        return complain(str(problem), DOWN)
    if as_json:
        print_json(shape)
    elif not (live or ready):
        click.echo("\n".join(status_lines(shape)))
    if shape["state"] == "stopped":
        return DOWN
    return 0 if live or is_ready(shape) else FAILED


def is_ready(shape: dict[str, Any]) -> bool:
    """One that drains is to get no new work; a core that stands still, or whose process is stopped, serves nobody."""
    return shape["state"] == "up" and not any(core["stalled"] or core["stopped"] for core in shape["cores"])


@click.command()
@local
@json_option
def tree(node: str | None, timeout: float, as_json: bool) -> int:
    """Show the supervision tree of every core, one line for each supervisor and isolate."""
    with control(node, timeout) as manager:
        shape = manager.ask("tree")
    if as_json:
        print_json(shape)
        return 0
    click.echo("\n".join(tree_lines(shape["node"], shape["cores"])))
    return _complain_of_missing(shape, "tree")


@click.command()
@local
@json_option
def members(node: str | None, timeout: float, as_json: bool) -> int:
    """List the nodes this node knows: itself and the joined ones."""
    with control(node, timeout) as manager:
        shape = manager.ask("members")
    if as_json:
        print_json(shape)
        return 0
    rows = [(row["name"], row["state"], row["incarnation"], row["address"] or None) for row in shape["members"]]
    click.echo("\n".join(table(("node", "state", "incarnation", "address"), rows)))
    return 0


@click.command()
@local
@json_option
def links(node: str | None, timeout: float, as_json: bool) -> int:
    """List the links of every core: to whom, in which state, what they carried and what they still may."""
    with control(node, timeout) as manager:
        shape = manager.ask("links")
    if as_json:
        print_json(shape)
        return 0
    click.echo("\n".join(link_lines(shape["cores"])))
    return _complain_of_missing(shape, "links")


@click.command()
@click.argument("core", type=click.IntRange(0), required=False)
@local
@json_option
def revive(core: int | None, node: str | None, timeout: float, as_json: bool) -> int:
    """Give the quarantined CORE, or all that are, a new life at once; its restart budget begins anew."""
    with control(node, timeout) as manager:
        shape = manager.ask("revive", core=core)
    if as_json:
        print_json({"node": manager.node, **shape})
    elif shape["revived"]:
        click.echo(f"revived {', '.join(f'core {number}' for number in shape['revived'])}; see `regrove status`")
    else:
        click.echo(f"no core of {manager.node} is quarantined")
    return 0


def _complain_of_missing(shape: dict[str, Any], what: str) -> int:
    for row in shape["missing"]:
        complain(f"core {row['core']} did not show its {what}: {row['why']}", FAILED)
    return FAILED if shape["missing"] else 0
