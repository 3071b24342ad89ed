"""Which CPU each core of a node is pinned to: `plan` is pure, the rest asks the machine and the kernel.

`auto` pins only where it can do no harm: the node's cores fill the CPUs this process may use, and no other node of this
machine has pinned its own. Who has is known by an abstract unix socket, which ends with the process that holds it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from typing import Final

from regrove.node.process.configuration import ConfigError
from regrove.node.process.values import cpu_numbers
from regrove.records import dataclass

MARK: Final = "\0regrove-pinned"


@dataclass(frozen=True, slots=True)
class Pinning:
    """The CPU of each core, or None and why not."""

    cpus: tuple[int, ...] | None
    why: str


def plan(asked: str, cores: int, allowed: Collection[int], alone: bool) -> Pinning:
    """Decide for `--pin`; raises ConfigError for a list with CPUs this process may not use."""
    if asked == "off":
        return Pinning(None, "pin = off")
    if asked == "auto":
        if cores != len(allowed):
            return Pinning(None, f"{cores} cores do not fill the {len(allowed)} CPUs this process may use")
        if not alone:
            return Pinning(None, "another node of this machine has pinned its cores")
        return Pinning(tuple(sorted(allowed)), "the cores fill the CPUs this process may use")
    cpus = cpu_numbers(asked)[:cores]
    missing = [cpu for cpu in cpus if cpu not in allowed]
    if missing:
        shown = ", ".join(map(str, sorted(allowed)))
        raise ConfigError("pin", asked, f"this process may not use CPU {missing[0]}", f"choose among {shown}")
    return Pinning(cpus, f"pin = {asked}")


class PinMark:
    """Says on this machine that a node has pinned its cores, for as long as it is held."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)

    def take(self) -> bool:
        """Take it; False when another node has it."""
        try:
            self._socket.bind(MARK)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        self._socket.close()


def pinning_for(asked: str, cores: int, mark: PinMark) -> Pinning:
    """The pinning of a node that starts now; takes `mark` when it pins. Raises ConfigError."""
    allowed = os.sched_getaffinity(0)
    found = plan(asked, cores, allowed, alone=True)
    if found.cpus is not None and not mark.take():
        return plan(asked, cores, allowed, alone=False)
    return found


def pin(cpu: int) -> None:
    """Pin the calling thread; nothing for -1. Its later children may roam again (`io/affinity.py`)."""
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
