"""`regrove shell`: a Python prompt with a cluster connected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from regrove.node.cli.options import reached, reaching

if TYPE_CHECKING:
    from regrove.node.client.cluster import Cluster


@click.command()
@reaching
def shell(
    node: str | None, connect: str | None, timeout: float, cluster: str | None, keys: str | None, insecure: bool
) -> int:
    """A Python prompt whose `cluster` is connected to a node of this machine, or to --connect.

    `from regrove import *` is done already; your own modules are imported from the working folder first. exit() or
    Ctrl-D ends it, exit(CODE) with that code.
    """
    with reached(node, connect, timeout, cluster, keys, insecure) as cluster_there:
        return _prompt(cluster_there)


def _prompt(cluster: Cluster) -> int:
    """Read and run until the end of the input or exit(); answers the exit code."""
    import code

    names = _names(cluster)
    if sys.stdin.isatty():
        _editing(names)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        code.interact(_banner(cluster), local=names, exitmsg="")
    except SystemExit as ended:
        return _code_of(ended)
    return 0


def _names(cluster: Cluster) -> dict[str, Any]:
    import regrove

    public = {name: getattr(regrove, name) for name in regrove.__all__}
    return {**public, "regrove": regrove, "cluster": cluster, "__name__": "__console__", "__doc__": None}


def _editing(names: dict[str, Any]) -> None:
    """Line editing and completion of names, where this Python was built with them."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")


def _banner(cluster: Cluster) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Python {python}, connected to {cluster.node}. Try:\n"
        "  cluster.members()\n"
        '  cluster.supervisor("root/").which_children()\n'
        '  cluster.call("counter", module.Total())    # after: import module\n'
        "exit() or Ctrl-D ends it; the node goes on."
    )


def _code_of(ended: SystemExit) -> int:
    match ended.code:
        case None:
            return 0
        case int(number):
            return number
        case text:
            click.echo(str(text), err=True)
            return 1
