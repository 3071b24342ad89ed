"""Commands that show what a node was given and what happens to it: config, events."""

from __future__ import annotations

import click

from regrove.node.cli.options import control, json_option, local, print_json
from regrove.node.cli.tables import table


@click.command()
@local
@json_option
def config(node: str | None, timeout: float, as_json: bool) -> int:
    """Show every value a node runs with, and where each came from: a flag, a variable, the file or the default."""
    with control(node, timeout) as manager:
        shape = manager.ask("config")
    if as_json:
        print_json(shape)
        return 0
    rows = [(row["key"], _shown(row["key"], row["value"]), row["origin"]) for row in shape["values"]]
    click.echo("\n".join(table(("key", "value", "from"), rows)))
    return 0


def _shown(key: str, value: object) -> str | None:
    """A value as one would write it on the command line; None for what was not given."""
    match value:
        case None | "" | []:
            return None
        case bool():
            return "true" if value else "false"
        case [first, last] if key == "data_ports":
            return f"{first}-{last}"
        case list():
            return ",".join("=".join(map(str, part)) if isinstance(part, list) else str(part) for part in value)
        case _:
            return str(value)


@click.command()
@local
@click.option("-f", "--follow", is_flag=True, help="Until the node ends, instead of for --timeout seconds.")
@json_option
def events(node: str | None, timeout: float, follow: bool, as_json: bool) -> int:
    """Show what happens to a node from now on: what supervisors decide, cores that end, nodes that join and leave.

    Each event is a line, with --json an object a line. A node keeps no past events; they are in its log.
    """
    from regrove.node.process.logs import console_text, json_text

    text = json_text if as_json else console_text
    with control(node, timeout) as manager:
        stream = manager.events(None if follow else timeout)
        click.echo(f"following {manager.node}", err=True)
        for event in stream:
            click.echo(text(event))
    return 0


@click.command()
@local
@click.option("-f", "--follow", is_flag=True, help="Go on until the node ends.")
@click.option(
    "--level",
    type=click.Choice(("debug", "info", "warning", "error", "critical")),
    default="debug",
    help="Only lines from this level on.",
)
@click.option("--last", type=click.IntRange(0), default=1_000, show_default=True, help="Past lines, at most 1000.")
@json_option
def logs(node: str | None, timeout: float, follow: bool, level: str, last: int, as_json: bool) -> int:
    """Show the last lines of a node's log, and with -f what comes, whatever its standard error is connected to.

    With --json each line is an object. The node keeps its last 1000 lines in memory.
    """
    from regrove.node.process.logs import console_text, json_text

    text = json_text if as_json else console_text
    with control(node, timeout) as manager:
        for line in manager.logs(level, last, follow):
            click.echo(text(line))
    return 0
