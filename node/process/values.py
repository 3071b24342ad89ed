"""Reading single configuration values: each reader takes text or a TOML value and returns it, or raises BadValue.

A reader's BadValue says the rule; `configuration.py` adds the key, the value, where it came from and the mend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from regrove.node.core.errors import Misuse
from regrove.node.process.budget import RestartBudget

_NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SIZE: Final = re.compile(r"(\d+)\s*(|K|M|G|KIB|MIB|GIB|B)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
CPUS_MAX: Final = 8192  # the kernel's own limit
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")


class BadValue(ValueError):  # never leaves configuration.py, which makes a ConfigError of it
    """The value breaks `rule`; `mend` is an example to write instead."""

    def __init__(self, rule: str, mend: str) -> None:
        self.rule = rule
        self.mend = mend
        super().__init__(rule)


def text(raw: object) -> str:
    """Any non-empty text."""
    if not isinstance(raw, str) or not raw:
        raise BadValue("it is a non-empty text", "give a text")
    return raw


def node_name(raw: object) -> str:
    """`NAME@HOST`."""
    if not isinstance(raw, str) or _NODE_NAME.fullmatch(raw) is None:
        raise BadValue(
            "a node's name is NAME@HOST, letters, digits, `.`, `_` and `-`, at most 64 before the @",
            "write for example one@localhost",
        )
    return raw


def word(raw: object) -> str:
    """A short name without blanks."""
    if not isinstance(raw, str) or _WORD.fullmatch(raw) is None:
        raise BadValue("it is one word of letters, digits, `.`, `_` and `-`, at most 64", "write for example regrove")
    return raw


def count(raw: object) -> int:
    """An int from 1 to 1 024."""
    value = int(raw) if isinstance(raw, str) and raw.isdigit() else raw
    if type(value) is not int or not 1 <= value <= 1024:
        raise BadValue("it is a whole number from 1 to 1024", "write for example 2")
    return value


def flag(raw: object) -> bool:
    """A switch."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in _TRUE + _FALSE:
        return raw.lower() in _TRUE
    raise BadValue("it is a switch", "write true or false")


def seconds(raw: object) -> float:
    """A duration in seconds, or with a unit: `20`, `20s`, `500ms`, `2m`."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw <= 86_400 * 365:
        return float(raw)
    found = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        raise BadValue("it is a duration of 0 or more with ms, s, m or h (none: seconds)", "write for example 20s")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def size(raw: object) -> int:
    """Bytes, or with K, M or G (powers of 1 024)."""
    if type(raw) is int and raw > 0:
        return raw
    found = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if found is None or int(found[1]) == 0:
        raise BadValue("it is a size over 0 in bytes or with K, M or G", "write for example 512M")
    return int(found[1]) * _BYTES[found[2].upper().removesuffix("IB") or ""]


def address(raw: object) -> str:
    """`HOST:PORT`, an optional `tcp://` in front; port 0 lets the kernel choose. Returned without the scheme."""
    value = raw.removeprefix("tcp://") if isinstance(raw, str) else ""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535 or any(c.isspace() or c in "/*" for c in host):
        raise BadValue("it is HOST:PORT with a port from 0 to 65535", "write for example 127.0.0.1:7400")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise BadValue("an IPv6 host stands in brackets", "write for example [::1]:7400")
    return f"{host}:{int(port)}"


def pin(raw: object) -> str:
    """`auto`, `off`, or CPU numbers such as `0-3,8`; kept as text."""
    if raw in ("auto", "off"):
        return str(raw)
    shown = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if not isinstance(shown, str) or not cpu_numbers(shown):
        raise BadValue("it is auto, off, or different CPU numbers such as 0-3,8", "write auto")
    return shown


def cpu_numbers(raw: str) -> tuple[int, ...]:
    """The CPUs of a list such as `0-3,8`, in its order; empty when it is no such list or names one twice."""
    found: list[int] = []
    for part in raw.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return ()
        low, high = int(first), int(last) if dash else int(first)
        if high - low >= CPUS_MAX or high >= CPUS_MAX or high < low:
            return ()
        found.extend(range(low, high + 1))
    return tuple(found) if len(set(found)) == len(found) else ()


def addresses(raw: object) -> tuple[str, ...]:
    """Several `HOST:PORT`, as a list or separated by commas."""
    return tuple(address(part) for part in _parts(raw))


def ports(raw: object) -> tuple[int, int]:
    """A range of tcp ports `A-B`, both included."""
    first, _, last = raw.partition("-") if isinstance(raw, str) else ("", "", "")
    if not first.isdigit() or not last.isdigit() or not 1 <= int(first) <= int(last) <= 65535:
        raise BadValue("it is a range A-B of ports from 1 to 65535", "write for example 7500-7599")
    return (int(first), int(last))


def roles(raw: object) -> tuple[tuple[str, int], ...]:
    """`ROLE=COUNT`, several as a list, a table or separated by commas."""
    pairs = list(raw.items()) if isinstance(raw, Mapping) else [tuple(part.split("=", 1)) for part in _parts(raw)]
    rule = BadValue("a role is ROLE=COUNT: so many cores have that role", "write for example compute=1")
    found: list[tuple[str, int]] = []
    for pair in pairs:
        if len(pair) != 2:
            raise rule
        try:
            found.append((word(pair[0]), count(pair[1])))
        except BadValue:
            raise rule from None
    return tuple(found)


def settings(raw: object) -> tuple[tuple[str, str], ...]:
    """The application's settings: a table, or `KEY=VALUE` texts; values become text, sorted by key."""
    rule = BadValue("settings are KEY=VALUE, a key is one word without `=`", "write for example --set sync=true")
    pairs: dict[str, str] = {}
    items = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in _parts(raw)]
    for key, value in items:
        if not isinstance(key, str) or not key or key != key.strip():
            raise rule
        pairs[key] = _setting_text(value, rule)
    if not isinstance(raw, Mapping) and any("=" not in part for part in _parts(raw)):
        raise rule
    return tuple(sorted(pairs.items()))


def choice(*allowed: str) -> Callable[[object], str]:
    """A reader of one of the given words."""

    def read(raw: object) -> str:
        if raw not in allowed:
            raise BadValue(f"it is one of {', '.join(allowed)}", f"write {allowed[0]}")
        return str(raw)

    return read


def _setting_text(value: object, rule: BadValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise rule


def _parts(raw: object) -> list[str]:
    if isinstance(raw, str):
        return [part.strip() for part in raw.split(",") if part.strip()]
    if isinstance(raw, list | tuple) and all(isinstance(part, str) for part in raw):
        return list(raw)
    raise BadValue("it is a text, or a list of texts", "write for example a,b")


def restarts(raw: object) -> str:
    """A restart budget such as `3/30s`, checked and kept as text."""
    try:
        RestartBudget.parse(raw if isinstance(raw, str) else "")
    except Misuse:
        raise BadValue("it is COUNT/PERIOD: so many replacements in that time", "write for example 3/30s") from None
    return str(raw)


def texts(raw: object) -> tuple[str, ...]:
    """Several texts."""
    return tuple(_parts(raw))
