"""Options that several commands share, and how a command finds its node."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from regrove.node.cli.failing import USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regrove.node.client.cluster import Cluster
    from regrove.node.process.control import ControlClient

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/shapes.md) instead of text.")
node_option = click.option("--node", metavar="NAME", help="The node of this machine to speak to.")
timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.0),
    default=5.0,
    show_default=True,
    help="How long to wait.",
)


def _address(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    from regrove.node.process import values

    try:
        return None if given is None else values.address(given)
    except values.BadValue as problem:
        raise UsageProblem(f"--connect {given!r}: {problem.rule}; {problem.mend}") from None


def reaching(command: F) -> F:
    """Give a command that speaks to isolates its ways to a node: --node, --connect and what that needs."""
    for option in (
        click.option("--insecure", is_flag=True, help="The nodes behind --connect run with --insecure."),
        click.option("--keys", metavar="FILE", help="The key file of the nodes behind --connect beyond this machine."),
        click.option(
            "--cluster", metavar="NAME", help="The name of the cluster behind --connect, when not the default."
        ),
        timeout_option,
        click.option(
            "--connect", metavar="HOST:PORT", callback=_address, help="The --listen address of a node to speak to."
        ),
        node_option,
    ):
        command = option(command)
    return command


def reached(
    node: str | None, connect: str | None, timeout: float, cluster: str | None, keys: str | None, insecure: bool
) -> Cluster:
    """The connected cluster that the options of `reaching` mean."""
    from regrove.node.client.cluster import connect as connect_to
    from regrove.node.process.configuration import is_loopback

    if node is not None and connect is not None:
        raise UsageProblem("--node and --connect both say where; give one of them")
    if keys is not None and insecure:
        raise UsageProblem("--keys and --insecure exclude each other; give the one the nodes were started with")
    if connect is None:
        if keys is not None or insecure or cluster is not None:
            raise UsageProblem("--keys, --insecure and --cluster are for --connect; leave them out, or give it too")
        return connect_to(node, timeout=timeout)
    if keys is None and not insecure and not is_loopback(connect):
        raise UsageProblem(
            f"{connect} is beyond this machine, where nodes are spoken to with keys; give --keys FILE (the file its "
            "nodes were started with), or --insecure when they run so"
        )
    return connect_to(f"tcp://{connect}", timeout=timeout, cluster=cluster, keys=keys, insecure=insecure)


def _only_here(_context: click.Context, _option: click.Parameter, given: str | None) -> None:
    if given is not None:
        raise UsageProblem("this command speaks to the manager on its own machine; run it there, with --node NAME")


def local(command: F) -> F:
    """Give a command `--node` and `--timeout`: it speaks to a manager of this machine, and says so to --connect."""
    nowhere_else = click.option("--connect", hidden=True, expose_value=False, callback=_only_here)
    return node_option(timeout_option(nowhere_else(command)))


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def control(node: str | None, timeout: float) -> Iterator[ControlClient]:
    """Speak to the manager of `node`, or of the only node of this machine."""
    from regrove.node.client.discovery import control_path
    from regrove.node.process.control import ControlClient

    with ControlClient(control_path(node), timeout) as connection:
        yield connection


class UsageProblem(click.UsageError):
    """A mistake on the command line that click cannot see itself."""

    exit_code = USAGE


def settings_from(pairs: tuple[str, ...], option: str = "--set") -> dict[str, str]:
    """Read KEY=VALUE pairs; the same key twice, or a pair without `=`, is a usage error."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageProblem(f"{pair!r} is not KEY=VALUE; write {option} port=6380, or leave it out")
        if key in settings:
            raise UsageProblem(f"{option} gives {key!r} twice; give each setting once")
        settings[key] = value
    return settings
