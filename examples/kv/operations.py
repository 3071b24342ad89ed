"""What each command does to a shard's keys: functions of (engine, words, now) that return the encoded answer.

Their words are checked for number already, and the name is in lower case. `now` is wall-clock ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from examples.kv.glob import compile_pattern, matches
from examples.kv.resp import NULL, OK, ONE, ZERO, array, bulk, bulks, error, integer, number, simple

if TYPE_CHECKING:
    from examples.kv.engine import Engine

Words = tuple[bytes, ...]
Operation = Callable[["Engine", Words, int], bytes]

SYNTAX: Final = error("ERR syntax error")
NOT_INTEGER: Final = error("ERR value is not an integer or out of range")
OVERFLOW: Final = error("ERR increment or decrement would overflow")
_INT64: Final = range(-(2**63), 2**63)
_LAST: Final = 2**63 - 1
SCAN_LIMIT: Final = 4096  # keys one SCAN goes over at most, whatever its COUNT: a handler stays short


def get(engine: Engine, words: Words, now: int) -> bytes:
    value = engine.store.get(words[1], now)
    return NULL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def set_(engine: Engine, words: Words, now: int) -> bytes:
    if len(words) == 3:
        engine.store.put(words[1], words[2])
        return OK
    return _set_with_options(engine, words, now)


def _set_with_options(engine: Engine, words: Words, now: int) -> bytes:
    options = _options(words)
    if options is None:
        return SYNTAX
    store = engine.store
    key = words[1]
    deadline: int | None = None
    for unit in (b"ex", b"px", b"exat", b"pxat"):
        if unit in options:
            found = _deadline(options[unit], unit, now, "set")
            if isinstance(found, bytes):
                return found
            deadline = found
    old = store.get(key, now)
    answer = OK
    if b"get" in options:
        answer = NULL if old is None else bulk(old)
    if (b"nx" in options and old is not None) or (b"xx" in options and old is None):
        return answer if b"get" in options else NULL
    if b"keepttl" in options and old is not None:
        deadline = store.deadline(key)
    if deadline is not None and deadline <= now:  # EXAT in the past: it is gone at once, as in Redis
        if key in store.values:
            store.remove(key)
    else:
        store.put(key, words[2], deadline)
    return answer


def _options(words: Words) -> dict[bytes, bytes] | None:
    """Read SET's options; None when they contradict each other or one is unknown."""
    options: dict[bytes, bytes] = {}
    position = 3
    while position < len(words):
        word = words[position].lower()
        position += 1
        if word in (b"nx", b"xx", b"get", b"keepttl"):
            options[word] = b""
        elif word in (b"ex", b"px", b"exat", b"pxat") and position < len(words):
            if any(unit in options for unit in (b"ex", b"px", b"exat", b"pxat") if unit != word):
                return None
            options[word] = words[position]
            position += 1
        else:
            return None
    timed = any(unit in options for unit in (b"ex", b"px", b"exat", b"pxat"))
    if (b"nx" in options and b"xx" in options) or (b"keepttl" in options and timed):
        return None
    return options


def _deadline(text: bytes, unit: bytes, now: int, name: str) -> int | bytes:
    """Return an absolute deadline in ms, or the error to answer."""
    value = integer(text)
    if value is None:
        return NOT_INTEGER
    scale = 1000 if unit in (b"ex", b"exat") else 1
    start = 0 if unit in (b"exat", b"pxat") else now
    if value <= 0 or value * scale + start > _LAST:
        return error(f"ERR invalid expire time in '{name}' command")
    return value * scale + start


def incr(engine: Engine, words: Words, now: int) -> bytes:
    return _add(engine, words[1], 1, now)


def decr(engine: Engine, words: Words, now: int) -> bytes:
    return _add(engine, words[1], -1, now)


def incrby(engine: Engine, words: Words, now: int) -> bytes:
    amount = integer(words[2])
    return NOT_INTEGER if amount is None else _add(engine, words[1], amount, now)


def decrby(engine: Engine, words: Words, now: int) -> bytes:
    amount = integer(words[2])
    if amount is None:
        return NOT_INTEGER
    if -amount not in _INT64:
        return error("ERR decrement would overflow")
    return _add(engine, words[1], -amount, now)


def _add(engine: Engine, key: bytes, amount: int, now: int) -> bytes:
    store = engine.store
    old = store.get(key, now)
    value = 0 if old is None else integer(old)
    if value is None:
        return NOT_INTEGER
    value += amount
    if value not in _INT64:
        return OVERFLOW
    store.put(key, b"%d" % value, None if old is None else store.deadline(key))
    return b":%d\r\n" % value


def delete(engine: Engine, words: Words, now: int) -> bytes:
    store = engine.store
    count = 0
    for key in words[1:]:
        alive = store.get(key, now) is not None
        if key in store.values:
            store.remove(key)
        count += alive
    return number(count)


def exists(engine: Engine, words: Words, now: int) -> bytes:
    store = engine.store
    return number(sum(store.get(key, now) is not None for key in words[1:]))


def mset(engine: Engine, words: Words, now: int) -> bytes:
    engine.store.put_many(list(zip(words[1::2], words[2::2], strict=True)))
    return OK


def type_(engine: Engine, words: Words, now: int) -> bytes:
    return simple("none" if engine.store.get(words[1], now) is None else "string")


def expire(engine: Engine, words: Words, now: int) -> bytes:
    return _expire(engine, words, 1000, now)


def pexpire(engine: Engine, words: Words, now: int) -> bytes:
    return _expire(engine, words, 1, now)


def _expire(engine: Engine, words: Words, scale: int, now: int) -> bytes:
    amount = integer(words[2])
    if amount is None:
        return NOT_INTEGER
    name = words[0].decode()
    flags = [word.lower() for word in words[3:]]
    for flag, word in zip(flags, words[3:], strict=True):
        if flag not in (b"nx", b"xx", b"gt", b"lt"):
            return error(f"ERR Unsupported option {word.decode('utf-8', 'surrogateescape')}")
    if b"nx" in flags and len(dict.fromkeys(flags)) > 1:
        return error("ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"gt" in flags and b"lt" in flags:
        return error("ERR GT and LT options at the same time are not compatible")
    deadline = amount * scale + now
    if amount * scale not in _INT64 or deadline > _LAST:
        return error(f"ERR invalid expire time in '{name}' command")
    store = engine.store
    key = words[1]
    if store.get(key, now) is None:
        return ZERO
    old = store.deadline(key)
    if (
        (b"nx" in flags and old is not None)
        or (b"xx" in flags and old is None)
        or (b"gt" in flags and (old is None or deadline <= old))
        or (b"lt" in flags and old is not None and deadline >= old)
    ):
        return ZERO
    if deadline <= now:
        store.remove(key)
    else:
        store.set_deadline(key, deadline)
    return ONE


def persist(engine: Engine, words: Words, now: int) -> bytes:
    store = engine.store
    if store.get(words[1], now) is None or store.deadline(words[1]) is None:
        return ZERO
    store.set_deadline(words[1], None)
    return ONE


def ttl(engine: Engine, words: Words, now: int) -> bytes:
    left = _left(engine, words[1], now)
    return number(left if left < 0 else (left + 500) // 1000)  # rounded, as in Redis


def pttl(engine: Engine, words: Words, now: int) -> bytes:
    return number(_left(engine, words[1], now))


def _left(engine: Engine, key: bytes, now: int) -> int:
    """Ms left; -1 without a deadline, -2 without the key."""
    if engine.store.get(key, now) is None:
        return -2
    deadline = engine.store.deadline(key)
    return -1 if deadline is None else deadline - now


def scan(engine: Engine, words: Words, now: int) -> bytes:
    """`words`: scan, cursor, count, pattern, type; the connection has checked them."""
    _, cursor, count, pattern, kind = words
    start = engine.cursors.position(int(cursor))
    keys, after = engine.store.scan(start, min(int(count), SCAN_LIMIT), now)
    if pattern != b"*":
        tokens = compile_pattern(pattern)
        keys = [key for key in keys if matches(tokens, key)]
    if kind not in (b"", b"string"):
        keys = []
    return array([bulk(b"%d" % engine.cursors.after(after)), bulks(keys)])


def dbsize(engine: Engine, words: Words, now: int) -> bytes:
    return number(len(engine.store))


def flushall(engine: Engine, words: Words, now: int) -> bytes:
    engine.store.clear()
    return OK


def info(engine: Engine, words: Words, now: int) -> bytes:
    """Numbers of this shard, which the connection adds up: keys, keys with a deadline, their ms left, commands."""
    store = engine.store
    left = sum(max(0, deadline - now) for deadline in list(store.deadlines.values())[:64])
    sampled = min(64, len(store.deadlines)) or 1
    return bulks([b"%d" % part for part in (len(store), len(store.deadlines), left // sampled, engine.commands)])


OPERATIONS: Final[Mapping[bytes, Operation]] = MappingProxyType(
    {
        b"get": get,
        b"set": set_,
        b"incr": incr,
        b"decr": decr,
        b"incrby": incrby,
        b"decrby": decrby,
        b"del": delete,
        b"unlink": delete,
        b"exists": exists,
        b"mset": mset,
        b"type": type_,
        b"expire": expire,
        b"pexpire": pexpire,
        b"persist": persist,
        b"ttl": ttl,
        b"pttl": pttl,
        b"scan": scan,
        b"dbsize": dbsize,
        b"flushall": flushall,
        b"flushdb": flushall,
        b"info": info,
    }
)
