"""What the seed does not decide: the functions by which Python reads clocks, randomness, the machine and its memory.

Each comes with the words of a finding: what it reads, and how to mend it.
"""

from __future__ import annotations

import _thread
import datetime
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NamedTuple

CLOCK: Final = "the machine's clock", "use ctx.now()"
WALL: Final = "the machine's clock", "use ctx.wall_time()"
CHANCE: Final = "chance that no seed decides", "use ctx.random"
PROCESS: Final = "an accident of this process", "use ctx.place, ctx.self or a number of your own"
MEMORY: Final = "an accident of this process's memory", "count what you hold yourself"
MACHINE: Final = "this machine, not the simulated one", "read it before the tree starts and pass it as a setting"
FILES: Final = "the real file system", "use Open, Read and the other effects of files"
THREAD: Final = "a real thread, whose end no seed decides", "use Offload"
OUTSIDE: Final = "the real world outside", "use Connect and Listen, or Offload with a stand-in"

Words = tuple[str, str]


class Rule(NamedTuple):
    """What a call reads (`what`, `mend`) and how it is called in a finding; `near`: only in the application itself."""

    name: str
    what: str
    mend: str
    near: bool = False


_TIME: Final = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "localtime", "ctime",
    "sleep",
)  # fmt: skip
_OS: Final[tuple[tuple[Words, tuple[str, ...]], ...]] = (
    (CHANCE, ("urandom", "getrandom")),
    (PROCESS, ("getpid", "getppid", "getpgid", "getsid", "times")),
    (MACHINE, ("uname", "cpu_count", "getloadavg", "getlogin", "sysconf", "sched_getaffinity", "getuid", "getgid")),
    (FILES, ("listdir", "scandir", "stat", "lstat", "access", "getcwd", "getcwdb", "readlink", "open", "statvfs")),
    (OUTSIDE, ("fork", "system", "pipe")),
)


def c_functions() -> dict[Any, Rule]:
    """Functions written in C, by the function: an alias of one is the same function."""
    found: dict[Any, Rule] = {}

    def add(module: Any, words: Words, *names: str, near: bool = False) -> None:
        for name in names:
            if function := getattr(module, name, None):
                owner = getattr(module, "__name__", type(module).__name__)
                found[function] = Rule(f"{owner}.{name}", *words, near)

    add(time, CLOCK, *_TIME)
    add(datetime.datetime, WALL, "now", "utcnow", "today")
    add(datetime.date, WALL, "today")
    for words, names in _OS:
        add(os, words, *names)
    add(sys, MEMORY, "getsizeof", "getrefcount", "getallocatedblocks")
    add(gc, MEMORY, "get_count", "get_objects", "get_referrers", "get_stats")
    for module, words, names in (
        ("_thread", THREAD, ("start_new_thread", "start_joinable_thread")),
        ("_locale", MACHINE, ("setlocale", "localeconv", "nl_langinfo", "getencoding")),
        ("resource", MEMORY, ("getrusage",)),
        ("_socket", OUTSIDE, ("gethostname", "getaddrinfo")),
    ):
        if module in sys.modules:
            add(sys.modules[module], words, *names)
    add(_thread, PROCESS, "get_ident", "get_native_id", near=True)  # every lock of the library asks for it
    return found


def of_hidden_random(function: Any) -> Rule | None:
    """The rule for a method of the generator behind `random.random()` and its like."""
    if getattr(function, "__self__", None) is random._inst:
        return Rule(f"random.{function.__name__}", *CHANCE)
    return None


def _of_random(frame: FrameType) -> Rule | None:
    names = frame.f_locals
    if names.get("self") is random._inst:
        return Rule(f"random.{frame.f_code.co_name}", *CHANCE)
    if frame.f_code.co_qualname in ("Random.__init__", "SystemRandom.__init__") and names.get("x") is None:
        return Rule("random.Random() without a seed", *CHANCE)
    return None


def _of_os(frame: FrameType) -> Rule | None:
    if frame.f_code.co_qualname.startswith("_Environ."):
        return Rule("os.environ", *MACHINE)
    return None


def _named(module: str, words: Words, *names: str) -> Callable[[FrameType], Rule | None]:
    def rule(frame: FrameType) -> Rule | None:
        name = frame.f_code.co_qualname
        if (names and name not in names) or name.startswith("<module>"):
            return None
        return Rule(f"{module}.{name}", *words)

    return rule


_MODULES: Final[tuple[tuple[str, Callable[[FrameType], Rule | None]], ...]] = (
    ("random", _of_random),
    ("os", _of_os),
    ("uuid", _named("uuid", CHANCE, "uuid1", "uuid4", "getnode")),
    ("secrets", _named("secrets", CHANCE)),
    ("platform", _named("platform", MACHINE)),
    ("tempfile", _named("tempfile", FILES)),
    ("threading", _named("threading", THREAD, "Thread.start")),
    ("subprocess", _named("subprocess", OUTSIDE, "Popen.__init__")),
    ("getpass", _named("getpass", MACHINE)),
)


def python_functions() -> dict[str, Callable[[FrameType], Rule | None]]:
    """Rules for functions written in Python, by the name of their module."""
    return dict(_MODULES)


_EVENTS: Final = (
    ("open", FILES), ("os.", FILES), ("glob.", FILES), ("shutil.", FILES), ("tempfile.", FILES), ("pathlib.", FILES),
    ("socket.", OUTSIDE), ("subprocess.", OUTSIDE), ("urllib.", OUTSIDE), ("sqlite3.", OUTSIDE),
    ("ctypes.", MACHINE), ("_thread.start", THREAD), ("time.sleep", CLOCK), ("mmap.", FILES), ("fcntl.", FILES),
)  # fmt: skip


def of_event(event: str) -> Rule | None:
    """The rule for an event of Python's audit hooks."""
    for prefix, words in _EVENTS:
        if event.startswith(prefix):
            return Rule(event, *words)
    return None


def aliases(names: dict[str, Any], functions: dict[Any, Rule]) -> Iterator[tuple[str, Any, Rule]]:
    """The names in a namespace under which it has one of the C functions: `from time import time as t`."""
    for name, value in list(names.items()):
        if type(value) is type(time.time) and (rule := functions.get(value) or of_hidden_random(value)):
            yield name, value, rule
