"""The table of commands: arity, keys, where each one runs; and what COMMAND tells a client about them.

HERE: answered by the connection. KEY: by the shard of its one key. SPLIT: its keys are shared out among their shards
and the answers put together. EVERY: by all shards. SCAN: by the shard its cursor names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from examples.kv.resp import NULL, array, bulk, bulks, error, number, pairs, shown, simple

UNKNOWN_ARGUMENTS: Final = 128  # bytes of arguments an unknown command's error shows; Redis, `server.c`


class Route(Enum):
    """Where a command runs."""

    HERE = "here"
    KEY = "key"
    SPLIT = "split"
    EVERY = "every"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Spec:
    """One command. `arity` counts the name and is negative for "at least"; keys are at first, last, step (Redis)."""

    name: str
    arity: int
    route: Route
    flags: str
    keys: tuple[int, int, int]
    group: str
    since: str
    summary: str

    @property
    def writes(self) -> bool:
        """Tell whether it may change a key."""
        return "write" in self.flags

    def fits(self, count: int) -> bool:
        """Tell whether a command of `count` words has the right number of them."""
        return count == self.arity if self.arity > 0 else count >= -self.arity


_NONE: Final = (0, 0, 0)
_ONE: Final = (1, 1, 1)
_ALL: Final = (1, -1, 1)

SPECS: Final = (
    Spec("ping", -1, Route.HERE, "fast", _NONE, "connection", "1.0.0", "Ping the server"),
    Spec("echo", 2, Route.HERE, "fast", _NONE, "connection", "1.0.0", "Echo the given string"),
    Spec("quit", -1, Route.HERE, "fast", _NONE, "connection", "1.0.0", "Close the connection"),
    Spec("select", 2, Route.HERE, "fast", _NONE, "connection", "1.0.0", "Change the selected database"),
    Spec("hello", -1, Route.HERE, "fast", _NONE, "connection", "6.0.0", "Handshake with the server"),
    Spec("auth", -2, Route.HERE, "fast", _NONE, "connection", "1.0.0", "Authenticate to the server"),
    Spec("client", -2, Route.HERE, "admin", _NONE, "connection", "2.4.0", "Commands about connections"),
    Spec("reset", 1, Route.HERE, "fast", _NONE, "connection", "6.2.0", "Reset the connection"),
    Spec("multi", 1, Route.HERE, "fast", _NONE, "transactions", "1.2.0", "Begin to queue commands"),
    Spec("exec", 1, Route.HERE, "slow", _NONE, "transactions", "1.2.0", "Run the queued commands"),
    Spec("discard", 1, Route.HERE, "fast", _NONE, "transactions", "2.0.0", "Forget the queued commands"),
    Spec("watch", -2, Route.HERE, "fast", _NONE, "transactions", "2.2.0", "Refused: nothing is watched"),
    Spec("unwatch", 1, Route.HERE, "fast", _NONE, "transactions", "2.2.0", "Does nothing"),
    Spec("command", -1, Route.HERE, "loading", _NONE, "server", "2.8.13", "Get details about the commands"),
    Spec("config", -2, Route.HERE, "admin", _NONE, "server", "2.0.0", "Get configuration parameters"),
    Spec("get", 2, Route.KEY, "readonly fast", _ONE, "string", "1.0.0", "Get the value of a key"),
    Spec("set", -3, Route.KEY, "write denyoom", _ONE, "string", "1.0.0", "Set the string value of a key"),
    Spec("incr", 2, Route.KEY, "write denyoom fast", _ONE, "string", "1.0.0", "Increment a key by one"),
    Spec("decr", 2, Route.KEY, "write denyoom fast", _ONE, "string", "1.0.0", "Decrement a key by one"),
    Spec("incrby", 3, Route.KEY, "write denyoom fast", _ONE, "string", "1.0.0", "Increment a key by a number"),
    Spec("decrby", 3, Route.KEY, "write denyoom fast", _ONE, "string", "1.0.0", "Decrement a key by a number"),
    Spec("expire", -3, Route.KEY, "write fast", _ONE, "generic", "1.0.0", "Set a key's time to live in seconds"),
    Spec("pexpire", -3, Route.KEY, "write fast", _ONE, "generic", "2.6.0", "Set a key's time to live in ms"),
    Spec("persist", 2, Route.KEY, "write fast", _ONE, "generic", "2.2.0", "Remove a key's time to live"),
    Spec("ttl", 2, Route.KEY, "readonly fast", _ONE, "generic", "1.0.0", "Get a key's time to live in seconds"),
    Spec("pttl", 2, Route.KEY, "readonly fast", _ONE, "generic", "2.6.0", "Get a key's time to live in ms"),
    Spec("type", 2, Route.KEY, "readonly fast", _ONE, "generic", "1.0.0", "Get the type of a key"),
    Spec("mget", -2, Route.SPLIT, "readonly fast", _ALL, "string", "1.0.0", "Get the values of the keys"),
    Spec("mset", -3, Route.SPLIT, "write denyoom", (1, -1, 2), "string", "1.0.1", "Set keys to values"),
    Spec("del", -2, Route.SPLIT, "write", _ALL, "generic", "1.0.0", "Delete keys"),
    Spec("unlink", -2, Route.SPLIT, "write fast", _ALL, "generic", "4.0.0", "Delete keys"),
    Spec("exists", -2, Route.SPLIT, "readonly fast", _ALL, "generic", "1.0.0", "Count the keys that exist"),
    Spec("scan", -2, Route.SCAN, "readonly", _NONE, "generic", "2.8.0", "Iterate the keys"),
    Spec("dbsize", 1, Route.EVERY, "readonly fast", _NONE, "server", "1.0.0", "Count all keys"),
    Spec("flushall", -1, Route.EVERY, "write", _NONE, "server", "1.0.0", "Remove all keys"),
    Spec("flushdb", -1, Route.EVERY, "write", _NONE, "server", "1.0.0", "Remove all keys"),
    Spec("info", -1, Route.EVERY, "loading", _NONE, "server", "1.0.0", "Get information about the server"),
)

_BY_NAME: Final = {spec.name.encode(): spec for spec in SPECS}
TABLE: Final[Mapping[bytes, Spec]] = MappingProxyType(
    _BY_NAME | {name.upper(): spec for name, spec in _BY_NAME.items()}
)
SUBCOMMANDS: Final[Mapping[str, Mapping[bytes, int]]] = MappingProxyType(
    {
        "client": {b"id": 2, b"getname": 2, b"setname": 3, b"setinfo": 4, b"info": 2},
        "config": {b"get": -3},
        "command": {b"count": 2, b"docs": -2, b"info": -2, b"list": -2, b"getkeys": -4},
    }
)


def find(name: bytes) -> Spec | None:
    """Return the command of that name, however it is written."""
    return TABLE.get(name) or TABLE.get(name.lower())


def wrong_arity(name: str) -> bytes:
    """The answer to a command with too few or too many words."""
    return error(f"ERR wrong number of arguments for '{name}' command")


def unknown_command(words: list[bytes]) -> bytes:
    """The answer to a command that is none (Redis, `server.c: processCommand`)."""
    rest = ""
    for word in words[1:]:
        if len(rest) >= UNKNOWN_ARGUMENTS:
            break
        rest += f"'{shown(word, UNKNOWN_ARGUMENTS - len(rest))}' "
    return error(f"ERR unknown command '{shown(words[0])}', with args beginning with: {rest}")


def bad_subcommand(spec: Spec, words: list[bytes]) -> bytes | None:
    """The answer to a subcommand that is none or has the wrong number of words; None when it is fine."""
    name = words[1].lower()
    arity = SUBCOMMANDS[spec.name].get(name)
    if arity is None:
        return error(f"ERR unknown subcommand '{shown(words[1])}'. Try {spec.name.upper()} HELP.")
    if (len(words) != arity) if arity > 0 else (len(words) < -arity):
        return wrong_arity(f"{spec.name}|{shown(name)}")
    return None


def keys_of(spec: Spec, words: list[bytes]) -> list[bytes]:
    """Return the keys among the words of a command."""
    first, last, step = spec.keys
    if not first:
        return []
    return words[first : len(words) if last < 0 else last + 1 : step]


def describe(spec: Spec) -> bytes:
    """One command's entry of COMMAND and COMMAND INFO, in Redis 7's ten fields."""
    kind = "write" if spec.writes else "read" if "readonly" in spec.flags else spec.group
    speed = "fast" if "fast" in spec.flags else "slow"
    return array(
        [
            bulk(spec.name.encode()),
            number(spec.arity),
            array([simple(flag) for flag in spec.flags.split()]),
            *(number(part) for part in spec.keys),
            array([simple(f"@{word}") for word in (kind, spec.group, speed)]),
            array([]),
            array([]),
            array([]),
        ]
    )


def answer_command(words: list[bytes], protocol: int) -> bytes:
    """Answer COMMAND and its subcommands, whose arity is checked already."""
    if len(words) == 1:
        return array([describe(spec) for spec in SPECS])
    match words[1].lower():
        case b"count":
            return number(len(SPECS))
        case b"docs":
            return _docs(words[2:], protocol)
        case b"info":
            return array([_info(name) for name in words[2:]] or [describe(spec) for spec in SPECS])
        case b"list":
            if len(words) > 2:
                return error("ERR syntax error")
            return bulks([spec.name.encode() for spec in SPECS])
        case _:
            return _get_keys(words[2:])


def _info(name: bytes) -> bytes:
    spec = find(name)
    return describe(spec) if spec is not None else b"*-1\r\n"


def _docs(names: list[bytes], protocol: int) -> bytes:
    found = [find(name) for name in names] if names else list(SPECS)
    items: list[bytes] = []
    for spec in found:
        if spec is not None:
            facts = {"summary": spec.summary, "since": spec.since, "group": spec.group}
            text = [bulk(part.encode()) for fact in facts.items() for part in fact]
            items += [bulk(spec.name.encode()), pairs(text, protocol)]
    return pairs(items, protocol)


def _get_keys(words: list[bytes]) -> bytes:
    spec = find(words[0])
    if spec is None:
        return error("ERR Invalid command specified")
    if not spec.fits(len(words)):
        return error("ERR Invalid number of arguments specified for command")
    keys = keys_of(spec, words)
    return bulks(keys) if keys else error("ERR The command has no key arguments")


def in_protocol(reply: bytes, protocol: int) -> bytes:
    """Return a shard's answer in the connection's protocol: RESP3 has a null of its own."""
    return b"_\r\n" if protocol == 3 and reply == NULL else reply
