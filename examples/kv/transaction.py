"""MULTI, EXEC, DISCARD: commands queued by a connection and run together. Pure.

They run in order and leave in one request a core. Between cores there is no isolation: another client's command may
run between two of them, so WATCH is refused rather than pretended (docs/kv.md).
"""

from __future__ import annotations

from typing import Final

from examples.kv.commands import Spec, find, unknown_command, wrong_arity
from examples.kv.resp import OK, Command, error, simple

QUEUE_COMMANDS: Final = 1024
QUEUE_BYTES: Final = 1024 * 1024
CONTROL: Final = frozenset(("multi", "exec", "discard", "watch", "unwatch"))
QUEUED: Final = simple("QUEUED")
NOT_QUEUING: Final = "ERR {} without MULTI"
ABORTED: Final = error("EXECABORT Transaction discarded because of previous errors.")
NO_WATCH: Final = error("ERR WATCH is not supported: keys of several cores are not watched together")


class Transaction:
    """What a connection has queued; `open` between MULTI and its EXEC or DISCARD."""

    __slots__ = ("_dirty", "_size", "open", "queued")

    def __init__(self) -> None:
        self.open = False
        self.queued: list[Command] = []
        self._dirty = False
        self._size = 0

    def queue(self, words: Command) -> bytes:
        """Queue a command, or say what is wrong with it; then EXEC runs nothing, as in Redis."""
        spec = find(words[0])
        problem = None
        if spec is None:
            problem = unknown_command(words)
        elif not spec.fits(len(words)):
            problem = wrong_arity(spec.name)
        elif spec.name == "hello":
            problem = error("ERR Command not allowed inside a transaction")
        elif len(self.queued) >= QUEUE_COMMANDS or self._size > QUEUE_BYTES:
            problem = error(f"ERR a transaction takes {QUEUE_COMMANDS} commands and {QUEUE_BYTES} bytes at most")
        if problem is not None:
            self._dirty = True
            return problem
        self.queued.append(words)
        self._size += sum(map(len, words))
        return QUEUED

    def control(self, spec: Spec) -> bytes | list[Command]:
        """Answer MULTI, DISCARD, WATCH, UNWATCH, or a refused EXEC; an EXEC that runs gives its commands."""
        match spec.name:
            case "multi" if self.open:
                return error("ERR MULTI calls can not be nested")
            case "multi":
                self.open = True
                return OK
            case "watch" if self.open:
                return error("ERR WATCH inside MULTI is not allowed")
            case "watch":
                return NO_WATCH
            case "unwatch":
                return QUEUED if self.open else OK
            case _ if not self.open:
                return error(NOT_QUEUING.format(spec.name.upper()))
            case "exec" if not self._dirty:
                commands = self.queued
                self.reset()
                return commands
            case name:
                self.reset()
                return ABORTED if name == "exec" else OK

    def reset(self) -> None:
        """Forget what was queued."""
        self.open = False
        self._dirty = False
        self.queued = []
        self._size = 0
