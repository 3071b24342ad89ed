"""Commands that run nodes and end them: start, up, stop."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Any

import click

from regrove.node.cli.failing import let_go_of_stdout
from regrove.node.cli.options import control, json_option, node_option, print_json, settings_from
from regrove.node.cli.tables import plural

if TYPE_CHECKING:
    from regrove.node.process.configuration import Resolved

_HELP_SET = "A setting of the application (place.settings); more KEY=VALUE pairs may follow the last one."


@click.command()
@click.argument("app", required=False)
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--name", metavar="NAME@HOST", help="The node's name.  [default: node@ and this host's name]")
@click.option("--cores", metavar="N", help="Core processes.  [default: what this process may use]")
@click.option("--role", "roles", multiple=True, metavar="ROLE=COUNT", help="So many cores get this place.role.")
@click.option("--listen", metavar="HOST:PORT", help="Where other nodes and clients reach it.  [default: only locally]")
@click.option("--advertise", metavar="HOST:PORT", help="What others dial, when it is not --listen.")
@click.option("--data-ports", metavar="A-B", help="The tcp ports of the cores.  [default: any]")
@click.option("--cluster", metavar="NAME", help="Nodes of one cluster have one name.  [default: regrove]")
@click.option("--join", multiple=True, metavar="HOST:PORT", help="A node to join; may be given several times.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=_HELP_SET)
@click.option("--config", "file", metavar="FILE", help="A TOML file with the same keys.")
@click.option("--core-restarts", metavar="COUNT/PERIOD", help="Replacements of one core in a time.  [default: 3/30s]")
@click.option("--drain-limit", metavar="TIME", help="What an orderly stop may take.  [default: 20s]")
@click.option("--memory", metavar="SIZE", help="Memory limit of one core, such as 512M.  [default: none]")
@click.option("--stall-kill", metavar="TIME", help="A core that stands still is replaced; 0: never.  [default: 5s]")
@click.option("--start-kill", metavar="TIME", help="What the start of a core may take; 0: for ever.  [default: 60s]")
@click.option("--quarantine", metavar="POLICY", help="retry, stay or exit, past --core-restarts.  [default: retry]")
@click.option("--pin", metavar="CPUS", help="auto, off, or CPUs such as 0-3,8, one a core.  [default: auto]")
@click.option("--data-dir", metavar="FOLDER", help="Where isolates keep files.  [default: in the state folder]")
@click.option("--log-format", metavar="FORMAT", help="auto, json or console.  [default: auto]")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [default: info]")
@click.option("--keys", metavar="FILE", help="Key file (regrove keygen) of tcp links beyond loopback.")
@click.option("--insecure", is_flag=True, default=None, help="No encryption and no keys on tcp.")
@click.option("--debug", is_flag=True, default=None, help="For debuggers: nothing is killed for being slow.")
def start(app: str | None, pairs: tuple[str, ...], file: str | None, **flags: Any) -> int:
    """Run a node in the foreground; Ctrl-C stops it in order, a second one at once.

    APP is MODULE:NAME or FILE.py:NAME, such as examples.counter:app. Every option can also stand in the file and, in
    capitals, in the environment: --drain-limit is REGROVE_DRAIN_LIMIT.
    """
    from regrove.node.process.configuration import resolve

    settings = settings_from((*flags.pop("settings"), *pairs))
    resolved = resolve({"app": app, "settings": settings, **flags}, file=file)
    return _run(resolved)


def _run(resolved: Resolved) -> int:
    from regrove.node.process.manager_process import run

    cores = plural(resolved.config.cores, "core")

    def on_up(name: str, listen: str) -> None:
        where = f", listening on {listen}" if listen else ""
        _say(f"{name} is up with {cores}{where}; try `regrove status` or `regrove tree`; Ctrl-C stops it")

    return run(resolved, on_up=on_up)


def _say(text: str) -> None:
    """Write a line if that neither waits nor fails: the node's own loop calls this, and the log has it too."""
    try:
        if select.select((), (sys.stdout,), (), 0)[1]:
            click.echo(text)
    except (OSError, ValueError):
        let_go_of_stdout()


@click.command()
@click.argument("app")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-n", "--nodes", type=click.IntRange(1, 64), default=3, show_default=True, help="How many nodes.")
@click.option("--cores", metavar="N", help="Core processes of each node.  [default: the usable ones, shared]")
@click.option("--name", default="node", show_default=True, help="Nodes are NAME1@localhost, NAME2@localhost, ...")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=_HELP_SET)
@click.option("--log-format", metavar="FORMAT", help="json or console.  [default: console on a terminal]")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [default: info]")
def up(app: str, pairs: tuple[str, ...], nodes: int, name: str, settings: tuple[str, ...], **flags: Any) -> int:
    """Run a cluster of several nodes on this machine, in the foreground, each line with its node in front.

    The nodes join each other on loopback. Ctrl-C stops all of them in order, a second one at once.
    """
    from regrove.node.cli.upping import Cluster

    return Cluster(app, nodes, name, settings_from((*settings, *pairs)), flags).run()


@click.command()
@node_option
@click.option("--now", is_flag=True, help="At once: no drain, no orderly stop of the trees.")
@json_option
def stop(node: str | None, now: bool, as_json: bool) -> int:
    """Stop a node in order: no new work, trees stop in reverse order, links say goodbye; waits until it has ended."""
    from regrove.node.core.errors import RegroveError

    with control(node, 5.0) as manager:
        answer = manager.ask("stop", now=now)
        limit = float(answer["limit"]) + 5.0
        ended = manager.wait_closed(limit)
        shape = {"node": manager.node, "stopped": ended}
    if as_json:
        print_json(shape)
    if not ended:
        raise RegroveError(
            f"{shape['node']} has not ended after {limit:g} s; stop it at once with `regrove stop --now`, "
            "and see its log for what holds it"
        )
    if not as_json:
        click.echo(f"{shape['node']} has stopped")
    return 0
