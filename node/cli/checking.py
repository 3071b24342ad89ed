"""`regrove check APP`: build the tree of every core without running it, and print the sums of the bounds."""

from __future__ import annotations

import traceback
from typing import Any

import click

from regrove.node.cli.options import json_option, print_json, settings_from
from regrove.node.cli.tables import plural, size, table


@click.command()
@click.argument("app")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--cores", type=click.IntRange(1, 1024), help="As for `regrove start`.")
@click.option("--role", multiple=True, metavar="ROLE=COUNT", help="As for `regrove start`.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for `regrove start`.")
@click.option("--memory", metavar="SIZE", help="Memory limit of one core, such as 512M.")
@click.option("--peers", type=click.IntRange(0), default=0, show_default=True, help="Cores of other nodes it links to.")
@json_option
def check(
    app: str,
    pairs: tuple[str, ...],
    cores: int | None,
    role: tuple[str, ...],
    settings: tuple[str, ...],
    memory: str | None,
    peers: int,
    as_json: bool,
) -> int:
    """Build the application's tree for every core, validate its specs, and print the sums of its bounds.

    Nothing is started: isolates are not built, sockets not opened.
    """
    from regrove.node.process.configuration import resolve

    flags = {
        "app": app,
        "cores": cores,
        "roles": role,
        "settings": settings_from((*settings, *pairs)),
        "memory": memory,
    }
    config = resolve(flags).config
    shape = _check(config, peers)
    if as_json:
        print_json(shape)
        return 0
    click.echo(f"{shape['application']}: {plural(len(shape['cores']), 'tree')} built, every spec is valid")
    rows = [(row["core"], row["role"] or None, row["supervisors"], row["children"]) for row in shape["cores"]]
    click.echo("\n".join(table(("core", "role", "supervisors", "children"), rows)))
    click.echo("at their bounds, one core takes at most")
    parts = [*shape["memory"].items(), ("sum", shape["sum"])]
    lines = table(("part", "memory"), [(part, size(count)) for part, count in parts])[1:]
    click.echo("\n".join(f"  {line}" for line in lines))
    if shape["limit"] is not None:
        click.echo(f"  of {size(shape['limit'])} it may have")
    return 0


def _check(config: Any, peers: int) -> dict[str, Any]:
    from types import MappingProxyType

    from regrove.node.core.application import Place
    from regrove.node.process.loading import load_application

    application = load_application(config.app)
    settings = MappingProxyType(dict(config.settings))
    rows = []
    for core in range(config.cores):
        place = Place(config.name, core, config.cores, config.role_of(core), settings)
        supervisors, children = _count(_build(application, place))
        rows.append({"core": core, "role": place.role, "supervisors": supervisors, "children": children})
    linked = config.cores - 1 + peers
    application.bounds.check_memory(linked, config.memory)
    memory = application.bounds.memory(linked)
    return {
        "application": application.name,
        "version": application.version,
        "cores": rows,
        "memory": memory,
        "sum": sum(memory.values()),
        "limit": config.memory,
    }


def _build(application: Any, place: Any) -> Any:
    """The tree of one core; whatever the application's own code raises is its author's to mend."""
    from regrove.node.core.errors import Misuse, RegroveError
    from regrove.supervisor.rules import SpecError

    try:
        return application.build(place)
    except (RegroveError, SpecError) as problem:
        raise Misuse(f"the tree of core {place.core} is invalid: {problem}") from problem
    except (Exception, SystemExit) as problem:
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        raise Misuse(
            f"tree(place) of {application.name} raised {type(problem).__name__}: {problem} on core {place.core}, "
            f"at {frame.filename}:{frame.lineno}; mend it there"
        ) from problem


def _count(root: Any) -> tuple[int, int]:
    """Supervisors and workers of a tree, whatever its depth."""
    from regrove.supervisor.spec import DynamicSupervisor, Supervisor

    supervisors = children = 0
    waiting = [root]
    while waiting:
        match waiting.pop():
            case Supervisor(children=below):
                supervisors += 1
                waiting.extend(below)
            case DynamicSupervisor():
                supervisors += 1
            case _:
                children += 1
    return supervisors, children
