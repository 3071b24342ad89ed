"""What importing an application left in the process that a fork would break: threads, ZeroMQ Contexts, gRPC channels.

A thread simply is not there after a fork. A Context accepts sends and loses them, and a gRPC channel hangs: with one of
these the cores of a node are started as fresh processes.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any, Final

from regrove.records import dataclass

FOUND_MAX: Final = 20  # of each kind; one is enough to know where to look
GRPC_CHANNELS: Final = frozenset({"Channel", "ChannelCache", "_Channel", "_InterceptedChannel"})


@dataclass(frozen=True, slots=True)
class Leftovers:
    """`threads` are only named; `unforkable` mean fresh processes. Each text names the module it belongs to."""

    threads: tuple[str, ...] = ()
    unforkable: tuple[str, ...] = ()


def look() -> Leftovers:
    """Look through this process; takes some milliseconds for each million objects."""
    return Leftovers(tuple(_threads()[:FOUND_MAX]), tuple(_unforkable()[:FOUND_MAX]))


def _threads() -> list[str]:
    known = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    found = [f"thread {thread.name} of {_module_of_thread(thread)}" for thread in known]
    named = {thread.native_id for thread in threading.enumerate()}
    for task in sorted(Path("/proc/self/task").iterdir(), key=lambda path: int(path.name)):
        if int(task.name) not in named and int(task.name) != os.getpid():
            found.append(f"native thread {_name_of_task(task)} of a library")
    return found


def _module_of_thread(thread: threading.Thread) -> str:
    """Of the thread's function; a subclass has its own module."""
    target = getattr(thread, "_target", None)
    owner = target if target is not None else type(thread)
    return str(getattr(owner, "__module__", None) or type(owner).__module__)


def _name_of_task(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except OSError:
        return task.name


def _unforkable() -> list[str]:
    zmq: Any = sys.modules.get("zmq")
    if zmq is None and "grpc" not in sys.modules:
        return []
    # Types first: nearly always there is none of these, and one pass over the objects is all a boot pays.
    kinds = {type(value) for value in gc.get_objects()}
    contexts = {kind for kind in kinds if zmq is not None and issubclass(kind, zmq.Context)}
    channels = {
        kind for kind in kinds if kind.__name__ in GRPC_CHANNELS and str(kind.__module__).partition(".")[0] == "grpc"
    }
    if not contexts and not channels:
        return []
    found: list[str] = []
    for value in gc.get_objects():
        kind = type(value)  # never the value itself: proxies of the application answer with code of their own
        if kind in contexts and not value.closed:
            found.append(f"a ZeroMQ Context in {_holder(value)}")
        elif kind in channels:
            found.append(f"a gRPC channel in {_holder(value)}")
    return found


def _holder(value: object) -> str:
    """The module whose attribute it is, as `module.attribute`."""
    for name, module in list(sys.modules.items()):
        for attribute, found in list(getattr(module, "__dict__", {}).items()):
            if found is value:
                return f"{name}.{attribute}"
    return "a module that holds it inside something else"
