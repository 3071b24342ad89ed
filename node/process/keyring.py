"""Which CURVE pair a node's tcp uses: the user's own on loopback, made at first use; the operator's file beyond it.

Every node and client of a user reads the same loopback pair and only its holders are let in: no set-up on one machine,
and no frame of another local user gets in. Between machines the operator copies one file (`--keys FILE`) to each node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from regrove.node.process.folders import FolderError, default_state_root
from regrove.transport.base import TransportError
from regrove.transport.keys import Curve, KeyPair, KeyProblem, load_pair, loopback_pair


def loopback_keys(environ: Mapping[str, str] | None = None) -> KeyPair:
    """The user's pair for loopback, made now if there is none; raises FolderError."""
    from regrove.transport.zeromq import make_pair

    environ = os.environ if environ is None else environ
    try:
        return loopback_pair(default_state_root(environ)[0], make_pair)
    except (KeyProblem, TransportError) as problem:
        raise FolderError(str(problem)) from problem


def read_keys(path: Path) -> KeyPair:
    """The pair in a file of the operator's; raises FolderError."""
    try:
        return load_pair(path)
    except KeyProblem as problem:
        raise FolderError(str(problem)) from problem


def shared(pair: KeyPair) -> Curve:
    """For a transport: who holds the same pair is let in."""
    return Curve(pair, lambda key: key == pair.public)
