"""One round of a connection: commands of a pipeline planned onto shards, and their answers put back in order. Pure.

Each command has one or more *units*, in order; a unit is answered here or by a shard. Commands whose keys live on
several shards are merged from their units. So commands of one client on one key keep their order, because a shard
runs them in order, and the answers come back in the order of the commands, whatever the order of the shards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from examples.kv.commands import Route, Spec, find, in_protocol, unknown_command, wrong_arity
from examples.kv.engine import core_of_cursor
from examples.kv.handshake import Session, info_text
from examples.kv.operations import NOT_INTEGER, SYNTAX
from examples.kv.resp import OK, ZERO, Command, array, bulk, error, integer, number
from examples.kv.transaction import CONTROL

COMMANDS: Final = 1024  # of one round
REQUEST_BYTES: Final = 1024 * 1024  # of one round; one command may have more, up to the parser's limit
MERGE_LIMIT: Final = 16 * 1024 * 1024  # bytes of one merged answer

Words = tuple[bytes, ...]
Place = Callable[[bytes], int]  # the core of a key
Fold = Callable[[list[bytes]], bytes]


@dataclass(slots=True)
class Merge:
    """Units `first` to `last` are one command's."""

    first: int
    last: int
    fold: Fold
    writes: bool | None  # None: an EXEC, whose parts fail one by one


@dataclass(slots=True)
class Share:
    """What one shard still has to do: commands and the unit of each."""

    commands: list[Words] = field(default_factory=list)
    units: list[int] = field(default_factory=list)


class Round:
    """`shares` is what is still to be asked; `ready` gives the answers that are whole so far, in order."""

    __slots__ = ("_asked", "_cores", "_merges", "_place", "_protocol", "_sent", "_session", "_units", "shares")

    def __init__(self, session: Session, cores: int, place: Place) -> None:
        self._session = session
        self._protocol = session.protocol  # of this round: a HELLO that changes it ends the round
        self._cores = cores
        self._place = place
        self._units: list[bytes | None] = []
        self._merges: list[Merge] = []
        self._asked = False
        self._sent = 0  # units that `ready` has given already
        self.shares: dict[int, Share] = {}

    def plan(self, commands: list[Command]) -> int:
        """Take commands from the front; return how many. The rest is for the next round."""
        size = 0
        for taken, words in enumerate(commands):
            if taken >= COMMANDS or size > REQUEST_BYTES:
                return taken
            if self._command(words):
                return taken + 1
            size += sum(map(len, words))
        return len(commands)

    def _command(self, words: Command) -> bool:
        """Plan one command; True when the round ends with it."""
        spec = find(words[0])
        transaction = self._session.transaction
        if spec is not None and spec.name in CONTROL and spec.fits(len(words)):
            self._control(transaction.control(spec))
        elif transaction.open and (spec is None or spec.name not in ("quit", "reset")):
            self._units.append(transaction.queue(words))
        elif spec is None:
            self._units.append(unknown_command(words))
        elif not spec.fits(len(words)):
            self._units.append(wrong_arity(spec.name))
        elif spec.route is Route.KEY:
            self._ask(self._place(words[1]), (spec.name.encode(), *words[1:]))
        elif spec.route is Route.HERE:
            return self._here(spec, words)
        else:
            self._spread(spec, words)
        return False

    def _control(self, answer: bytes | list[Command]) -> None:
        if isinstance(answer, bytes):
            self._units.append(answer)
            return
        first = len(self._units)
        for words in answer:
            self._command(words)
        count = len(answer)
        if not count:
            self._units.append(array([]))
            return
        # Units of the parts are whole answers by then, or blanks behind one that was put together.
        self._merges.append(Merge(first, len(self._units), lambda units: array([unit for unit in units if unit]), None))

    def _ask(self, core: int, words: Words) -> None:
        share = self.shares.get(core)
        if share is None:
            share = self.shares[core] = Share()
        share.commands.append(words)
        share.units.append(len(self._units))
        self._units.append(None)

    def _here(self, spec: Spec, words: Command) -> bool:
        """Answer a command of the connection itself; True when the round ends with it."""
        self._units.append(in_protocol(self._session.answer(spec.name, words), self._protocol))
        return self._session.closing or self._session.protocol != self._protocol

    def _spread(self, spec: Spec, words: Command) -> None:
        match spec.route:
            case Route.SCAN:
                self._scan(words)
            case Route.EVERY:
                self._every(spec, words)
            case _:
                self._split(spec, words)

    def _split(self, spec: Spec, words: Command) -> None:
        first = len(self._units)
        if spec.name == "mget":
            for key in words[1:]:
                self._ask(self._place(key), (b"get", key))
            self._merges.append(Merge(first, len(self._units), array, writes=False))
            return
        if spec.name == "mset" and len(words) % 2 == 0:
            self._units.append(wrong_arity("mset"))
            return
        step = spec.keys[2]
        parts: dict[int, list[bytes]] = {}
        for position in range(1, len(words), step):
            core = self._place(words[position])
            parts.setdefault(core, [spec.name.encode()]).extend(words[position : position + step])
        for core, part in parts.items():
            self._ask(core, tuple(part))
        if len(parts) > 1:
            fold = _all_ok if spec.name == "mset" else _sum
            self._merges.append(Merge(first, len(self._units), fold, spec.writes))

    def _every(self, spec: Spec, words: Command) -> None:
        fold: Fold = _all_ok
        if spec.name == "info":
            fold = self._info(words)
        elif spec.name == "dbsize":
            fold = _sum
        elif len(words) > 2 or (len(words) == 2 and words[1].lower() not in (b"async", b"sync")):
            self._units.append(SYNTAX)
            return
        first = len(self._units)
        for core in range(self._cores):
            self._ask(core, (spec.name.encode(),))
        self._merges.append(Merge(first, len(self._units), fold, spec.writes))

    def _info(self, words: Command) -> Fold:
        def fold(units: list[bytes]) -> bytes:
            shards = [[int(part) for part in unit.split(b"\r\n")[2::2]] for unit in units]
            text = info_text(shards, self._cores, self._session.sync, words[1:]).encode()
            if self._protocol == 3:
                return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text)
            return bulk(text)

        return fold

    def _scan(self, words: Command) -> None:
        found = parse_scan(words)
        if isinstance(found, bytes):
            self._units.append(found)
            return
        cursor, count, pattern, kind = found
        core = core_of_cursor(cursor) % self._cores
        self._ask(core, (b"scan", b"%d" % cursor, b"%d" % count, pattern, kind))

    # --- answers ---------------------------------------------------------------------------------------------------

    def answered(self, core: int, replies: tuple[bytes, ...]) -> None:
        """Take a shard's answers to the first commands of its share; the others stay to be asked."""
        share = self.shares[core]
        protocol = self._protocol
        for unit, reply in zip(share.units, replies, strict=False):
            self._units[unit] = in_protocol(reply, protocol)
        del share.units[: len(replies)]
        del share.commands[: len(replies)]
        if not share.units:
            del self.shares[core]

    def failed(self, core: int, problem: str, may_have_run: bool) -> None:
        """Answer a whole share of a core that cannot be asked. What may have run is never asked again."""
        share = self.shares.pop(core)
        gone = error(f"TRYAGAIN core {core} {problem}: nothing was done")
        unknown = error(f"UNKNOWN outcome: core {core} {problem} after the command had left, it may have been done")
        for unit, words in zip(share.units, share.commands, strict=True):
            spec = find(words[0])
            self._units[unit] = unknown if may_have_run and spec is not None and spec.writes else gone

    def ready(self) -> bytes:
        """Return the answers of the commands that are whole and were not given yet, in order."""
        units = self._units
        end = self._sent
        while end < len(units) and units[end] is not None:
            end += 1
        for merge in list(self._merges):
            if merge.last <= end:
                self._merge(merge)
                self._merges.remove(merge)
            elif merge.first < end:
                end = merge.first
        given = [unit for unit in units[self._sent : end] if unit]
        units[self._sent : end] = [b""] * (end - self._sent)
        self._sent = end
        return b"".join(given)

    def next_shares(self) -> list[tuple[int, Share]]:
        """Return what is to be asked now: everything at first, then only who holds up the next answer."""
        if not self._asked:
            self._asked = True
            return list(self.shares.items())
        return sorted(self.shares.items(), key=lambda item: item[1].units[0])[:1]

    def _merge(self, merge: Merge) -> None:
        units = [unit for unit in self._units[merge.first : merge.last] if unit is not None]
        self._units[merge.first] = merged(units, merge)
        self._units[merge.first + 1 : merge.last] = [b""] * (merge.last - merge.first - 1)


def merged(units: list[bytes], merge: Merge) -> bytes:
    """Put the parts of one command together; when a part failed the whole failed, in part if others did not."""
    errors = [unit for unit in units if unit.startswith(b"-")] if merge.writes is not None else []
    if errors:
        done = any(unit != ZERO for unit in units if not unit.startswith(b"-"))  # DEL of keys that are not there: no
        if merge.writes and done and not errors[0].startswith(b"-UNKNOWN"):
            return b"-UNKNOWN outcome: done in part, because of " + errors[0][1:]
        unknown = [unit for unit in errors if unit.startswith(b"-UNKNOWN")]
        return (unknown or errors)[0]
    if sum(map(len, units)) > MERGE_LIMIT:
        return error(f"ERR the answer is over {MERGE_LIMIT} bytes, ask for fewer keys at once")
    return merge.fold(units)


def _sum(units: list[bytes]) -> bytes:
    return number(sum(int(unit[1:-2]) for unit in units))


def _all_ok(units: list[bytes]) -> bytes:
    return OK


def parse_scan(words: Command) -> tuple[int, int, bytes, bytes] | bytes:
    """Return cursor, count, pattern and type of SCAN, or the error to answer."""
    cursor = int(words[1] or b"0") if len(words[1]) <= 20 and (words[1] or b"0").isdigit() else -1
    if not 0 <= cursor < 2**64:
        return error("ERR invalid cursor")
    count, pattern, kind = 10, b"*", b""
    for position in range(2, len(words), 2):
        if position + 1 >= len(words):
            return SYNTAX
        option, value = words[position].lower(), words[position + 1]
        if option == b"count":
            wanted = integer(value)
            if wanted is None:
                return NOT_INTEGER
            if wanted < 1:
                return SYNTAX
            count = wanted
        elif option == b"match":
            pattern = value
        elif option == b"type":
            kind = value.lower()
        else:
            return SYNTAX
    return cursor, count, pattern, kind
