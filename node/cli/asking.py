"""`regrove call`: one request to a named isolate, one answer printed."""

from __future__ import annotations

import sys

import click

from regrove.node.cli.options import UsageProblem, json_option, print_json, reached, reaching


@click.command()
@click.argument("target", metavar="NAME[@NODE]")
@click.argument("request_text", metavar="REQUEST")
@reaching
@click.option("--core", type=click.IntRange(0), help="The core that holds the name, when not the lowest one.")
@json_option
def call(
    target: str,
    request_text: str,
    node: str | None,
    connect: str | None,
    timeout: float,
    core: int | None,
    cluster: str | None,
    keys: str | None,
    insecure: bool,
    as_json: bool,
) -> int:
    """Send REQUEST to the isolate registered as NAME and print its answer.

    REQUEST is a literal such as 'bank:Add(amount=1)', a plain value such as '[1, 2]', or - to read JSON from stdin.
    It is parsed, never evaluated; the modules it names are imported, the working folder first.
    """
    from regrove.node.cli.values import from_json, from_text, to_json
    from regrove.node.core.address import Name

    name, _, where = target.partition("@")
    if not name:
        raise UsageProblem(f"{target!r} names no isolate; write NAME or NAME@NODE, for example ledger@shop")
    request = from_json(sys.stdin.read()) if request_text == "-" else from_text(request_text)
    with reached(node, connect, timeout, cluster, keys, insecure) as there:
        answer = there.call(Name(name, where or None, core), request, timeout=timeout)
    if as_json:
        print_json(to_json(answer))
    else:
        click.echo(repr(answer))
    return 0
