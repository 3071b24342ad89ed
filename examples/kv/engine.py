"""One shard without its isolate: runs batches of commands on a store. Pure."""

from __future__ import annotations

from typing import Final

from examples.kv.commands import TABLE
from examples.kv.operations import OPERATIONS, Words
from examples.kv.resp import error
from examples.kv.store import Store

ANSWER_LIMIT: Final = 1024 * 1024  # bytes of answers after which a batch is cut short; the rest is asked again
CORE_BITS: Final = 12
LIFE_BITS: Final = 12

WRITES: Final = frozenset(name for name, spec in TABLE.items() if spec.writes)


class Cursors:
    """SCAN's cursors: position, life of the shard, core, in 64 bits. 0 begins, and 0 is the end.

    A cursor of another life of the shard begins its core again: keys may come twice, none is left out.
    """

    __slots__ = ("_core", "_cores", "_life")

    def __init__(self, core: int, cores: int, life: int) -> None:
        self._core = core
        self._cores = cores
        self._life = life % (1 << LIFE_BITS)

    def position(self, cursor: int) -> int:
        """Return where in this shard's order a cursor stands."""
        life = (cursor >> CORE_BITS) % (1 << LIFE_BITS)
        return cursor >> (CORE_BITS + LIFE_BITS) if life == self._life else 0

    def after(self, position: int) -> int:
        """Return the cursor for `position`; for 0, the beginning of the next core, or 0 after the last."""
        if position:
            return ((position << LIFE_BITS | self._life) << CORE_BITS) | self._core
        return (self._core + 1) % self._cores


def core_of_cursor(cursor: int) -> int:
    """Return the core a cursor is about."""
    return cursor % (1 << CORE_BITS)


class Engine:
    """The commands of one shard on its store. `now` never goes back within one life."""

    __slots__ = ("_now", "commands", "cursors", "store")

    def __init__(self, core: int = 0, cores: int = 1, life: int = 1) -> None:
        self.store = Store()
        self.cursors = Cursors(core, cores, life)
        self.commands = 0
        self._now = 0

    def clock(self, wall: int) -> int:
        """Take the wall clock (ns) and return the time to use (ms)."""
        now = wall // 1_000_000
        if now > self._now:
            self._now = now
        return self._now

    def run(self, batch: tuple[Words, ...], now: int, refused: bytes | None = None) -> tuple[bytes, ...]:
        """Run commands in order and return their answers, fewer than commands once they fill ANSWER_LIMIT.

        With `refused`, commands that write are not run and answered with it.
        """
        answers: list[bytes] = []
        size = 0
        for words in batch:
            name = words[0]
            answer = refused if refused is not None and name in WRITES else OPERATIONS[name](self, words, now)
            answers.append(answer)
            size += len(answer)
            if size > ANSWER_LIMIT:
                break
        self.commands += len(answers)
        return tuple(answers)

    def is_clean_read(self, batch: tuple[Words, ...]) -> bool:
        """Tell whether a batch changes nothing and depends on no change that could still be taken back."""
        store = self.store
        if store.undo is None:
            return all(words[0] not in WRITES for words in batch)
        if store.dirty_all:
            return False
        for words in batch:
            name = words[0]
            if name in WRITES or name in _WHOLE or any(key in store.dirty for key in words[1:]):
                return False
        return True


_WHOLE: Final = frozenset((b"scan", b"dbsize", b"info"))


def misconf(problem: str) -> bytes:
    """The answer to writes while the disk takes none."""
    return error(f"MISCONF Errors writing to the AOF file: {problem}")
