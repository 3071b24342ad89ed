"""`regrove keygen`: the key file of a cluster's tcp links beyond loopback."""

from __future__ import annotations

from pathlib import Path

import click

from regrove.node.cli.options import json_option, print_json


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def keygen(file: Path, as_json: bool) -> int:
    """Make a key pair and write it to FILE, readable by you alone (0600); an existing file is never replaced.

    Copy FILE to every machine of the cluster and to its clients: `regrove start --keys FILE`, `connect(keys=FILE)`.
    """
    from regrove.node.core.errors import Misuse
    from regrove.transport.keys import KeyProblem, store_pair
    from regrove.transport.zeromq import make_pair

    pair = make_pair()
    try:
        store_pair(pair, file)
    except KeyProblem as problem:
        raise Misuse(str(problem)) from None
    if as_json:
        print_json({"file": str(file), "public": pair.public})
    else:
        click.echo(f"{file} holds a key pair whose public key is {pair.public}")
    return 0
