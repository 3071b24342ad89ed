"""Which node of this machine is meant when a command or `connect` names one, part of its name, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from regrove.node.client.errors import NoNode
from regrove.node.process.folders import NodeFolder, find_nodes, runtime_roots


def find_node(name: str | None, environ: Mapping[str, str] | None = None) -> NodeFolder:
    """The running node of that name (the host may be left out), or the only one; raises NoNode, with the choice."""
    environ = os.environ if environ is None else environ
    roots = _roots(environ)
    running = [folder for folder in find_nodes(environ) if folder.path.parent in roots]
    if name is None:
        fits = running
    else:
        fits = [folder for folder in running if folder.name == name]
        fits = fits or [folder for folder in running if folder.name.partition("@")[0] == name]
    if len(fits) == 1:
        return fits[0]
    raise NoNode(_several(fits) if fits else _none(name, running, roots))


def _roots(environ: Mapping[str, str]) -> list[Path]:
    """Where to search: a folder that was named is the only one, else every place where a node of this user may run."""
    roots = [root for root, _ in runtime_roots(environ)]
    return roots[:1] if environ.get("REGROVE_RUNTIME_DIR") else roots


def control_path(name: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """The control socket of that node; see `find_node`."""
    return find_node(name, environ).control


def _several(fits: list[NodeFolder]) -> str:
    names = [folder.name for folder in fits]
    if len({*names}) < len(names):
        shown = ", ".join(f"{folder.name} in {folder.path.parent}" for folder in fits)
        return f"several nodes fit: {shown}; say which folder with REGROVE_RUNTIME_DIR"
    return f"several nodes run here: {', '.join(names)}; say which one by its name (commands: --node NAME)"


def _none(name: str | None, running: list[NodeFolder], roots: list[Path]) -> str:
    if name is not None and running:
        names = ", ".join(folder.name for folder in running)
        return f"no node named {name} runs here, but {names}; name one of those, or start it with `regrove start`"
    what = "no node" if name is None else f"no node named {name}"
    return (
        f"{what} runs here (searched {', '.join(map(str, roots))}); start one with `regrove start module:app`, "
        "or say where it is: --connect HOST:PORT, or REGROVE_RUNTIME_DIR"
    )
