"""A shard's keys beside a naive twin: values, deadlines, taking back, replay, and scans that leave nothing out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kv.engine import Cursors, Engine, core_of_cursor, misconf
from examples.kv.glob import compile_pattern, matches
from examples.kv.store import Store

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
VALUES = st.binary(max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, VALUES, st.one_of(st.none(), st.integers(1, 100))),
        st.tuples(st.just("remove"), KEYS),
        st.tuples(st.just("deadline"), KEYS, st.one_of(st.none(), st.integers(1, 100))),
        st.tuples(st.just("many"), st.lists(st.tuples(KEYS, VALUES), max_size=3)),
        st.tuples(st.just("clear")),
    ),
    max_size=30,
)
Step = tuple[object, ...]
Model = dict[bytes, tuple[bytes, int | None]]


def do(store: Store, model: Model, step: Step) -> None:
    """Carry a step out on the store and on its twin."""
    match step:
        case ("put", bytes(key), bytes(value), deadline):
            assert deadline is None or isinstance(deadline, int)
            store.put(key, value, deadline)
            model[key] = (value, deadline)
        case ("remove", bytes(key)) if key in model:
            store.remove(key)
            del model[key]
        case ("deadline", bytes(key), deadline) if key in model:
            assert deadline is None or isinstance(deadline, int)
            store.set_deadline(key, deadline)
            model[key] = (model[key][0], deadline)
        case ("many", list(items)):
            store.put_many(items)
            model.update({key: (value, None) for key, value in items})
        case ("clear",):
            store.clear()
            model.clear()


def content(store: Store) -> Model:
    return {key: (value, store.deadline(key)) for key, value in store.values.items()}


def assert_sound(store: Store, model: Model) -> None:
    assert content(store) == model
    assert store.bytes == sum(len(key) + len(value) for key, (value, _) in model.items())
    keys, after = store.scan(0, 1_000, now=0)
    assert (sorted(keys), after) == (sorted(model), 0)


@given(STEPS)
def test_a_store_holds_what_its_twin_holds(steps: list[Step]) -> None:
    store, model = Store(), Model()
    for step in steps:
        do(store, model, step)
        assert_sound(store, model)
    for key, (value, deadline) in model.items():
        assert store.get(key, now=50) == (value if deadline is None or deadline > 50 else None)


@given(STEPS, STEPS)
def test_what_is_taken_back_never_was(kept: list[Step], refused: list[Step]) -> None:
    store, model = Store(), Model()
    for step in kept:
        do(store, model, step)
    before = dict(model)
    store.take_changes()
    store.begin()
    for step in refused:
        do(store, model, step)
    store.roll_back()
    assert_sound(store, before)
    assert store.take_changes() == ()
    assert store.undo is None


@given(STEPS, STEPS)
def test_replaying_the_changes_makes_the_same_store(first: list[Step], second: list[Step]) -> None:
    store, model = Store(), Model()
    for step in first + second:
        do(store, model, step)
    changes = store.take_changes()
    copy = Store()
    for change in changes:
        copy.replay(change)
    assert_sound(copy, model)
    assert copy.take_changes() == ()


@given(STEPS, STEPS, st.integers(1, 60))
def test_a_snapshot_and_what_changed_meanwhile_make_the_same_store(
    first: list[Step], second: list[Step], size: int
) -> None:
    store, model = Store(), Model()
    for step in first:
        do(store, model, step)
    store.take_changes()
    copied: list[bytes] = []
    cursor = 0
    steps = iter(second)
    while True:
        records, cursor = store.snapshot(cursor, size)
        copied += records
        if cursor == 0:
            break
        do(store, model, next(steps, ("none",)))
    for step in steps:
        do(store, model, step)
    copy = Store()
    for change in (*copied, *store.take_changes()):
        copy.replay(change)
    assert content(copy) == model


@given(st.integers(0, 300), st.integers(1, 40), st.lists(st.integers(0, 300), max_size=60), st.integers(0, 50))
def test_a_scan_returns_every_key_that_is_there_throughout(keys: int, count: int, gone: list[int], new: int) -> None:
    store = Store()
    for number in range(keys):
        store.put(b"%d" % number, b"")
    removed = [number for number in dict.fromkeys(gone) if number < keys]
    found: list[bytes] = []
    cursor, turn = 0, 0
    while True:
        part, cursor = store.scan(cursor, count, now=0)
        found += part
        if cursor == 0:
            break
        for number in removed[turn : turn + 3]:
            store.remove(b"%d" % number)
        for number in range(min(2, new)):
            store.put(b"new-%d-%d" % (turn, number), b"")
        turn += 3
        new -= 1
    stayed = {b"%d" % number for number in range(keys)} - {b"%d" % number for number in removed}
    assert stayed <= set(found)
    assert len(found) == len(set(found))


def test_a_sweep_is_bounded_and_forgets_old_deadlines() -> None:
    store = Store()
    for number in range(10):
        store.put(b"%d" % number, b"", 5)
    store.set_deadline(b"0", 100)
    store.set_deadline(b"1", None)
    assert store.sweep(now=10, limit=3) == 3
    assert store.sweep(now=10, limit=100) == 5
    assert sorted(store.values) == [b"0", b"1"]
    assert store.sweep(now=100, limit=100) == 1


def test_deadlines_that_change_all_the_time_take_bounded_room() -> None:
    store = Store()
    for number in range(10_000):
        store.put(b"key", b"", 1_000 + number)
    assert len(store._due) < 200


# --- the engine around it ------------------------------------------------------------------------------------------


def run(engine: Engine, *words: bytes, now: int = 1_000) -> bytes:
    return engine.run((words,), now)[0]


def test_time_does_not_go_back_in_one_life() -> None:
    engine = Engine()
    assert engine.clock(5_000_000_000) == 5_000
    assert engine.clock(4_000_000_000) == 5_000


def test_an_expired_key_is_gone_for_every_command() -> None:
    engine = Engine()
    run(engine, b"set", b"a", b"5", b"px", b"10")
    assert run(engine, b"pttl", b"a") == b":10\r\n"
    later: Callable[..., bytes] = lambda *words: run(engine, *words, now=1_010)  # noqa: E731
    assert later(b"get", b"a") == b"$-1\r\n"
    assert later(b"exists", b"a") == later(b"del", b"a") == later(b"expire", b"a", b"10") == b":0\r\n"
    assert later(b"ttl", b"a") == b":-2\r\n"
    run(engine, b"set", b"a", b"5", b"px", b"10")
    assert later(b"incr", b"a") == b":1\r\n"
    assert later(b"ttl", b"a") == b":-1\r\n"


def test_writes_are_refused_and_reads_go_on_while_the_disk_is_full() -> None:
    engine = Engine()
    run(engine, b"set", b"a", b"1")
    answers = engine.run(((b"set", b"a", b"2"), (b"get", b"a"), (b"incr", b"a")), 0, misconf("ENOSPC"))
    assert answers[0] == answers[2] == b"-MISCONF Errors writing to the AOF file: ENOSPC\r\n"
    assert answers[1] == b"$1\r\n1\r\n"


def test_a_batch_is_cut_short_when_its_answers_are_long() -> None:
    engine = Engine()
    run(engine, b"set", b"a", b"x" * 700_000)
    assert len(engine.run(((b"get", b"a"),) * 5, 0)) == 2


def test_only_reads_of_untouched_keys_are_clean() -> None:
    engine = Engine()
    run(engine, b"set", b"a", b"1")
    assert not engine.is_clean_read(((b"set", b"a", b"1"),))
    assert engine.is_clean_read(((b"get", b"a"),))
    engine.store.begin()
    run(engine, b"set", b"a", b"2")
    assert not engine.is_clean_read(((b"get", b"a"),))
    assert not engine.is_clean_read(((b"get", b"b"), (b"dbsize",)))
    assert engine.is_clean_read(((b"get", b"b"),))
    run(engine, b"flushall")
    assert not engine.is_clean_read(((b"get", b"b"),))


@given(st.integers(1, 2**40 - 1), st.integers(0, 2**12 - 1), st.integers(2, 64), st.data())
def test_a_cursor_names_its_core_and_begins_again_in_another_life(
    position: int, life: int, cores: int, data: st.DataObject
) -> None:
    core = data.draw(st.integers(0, cores - 1))
    cursor = Cursors(core, cores, life).after(position)
    assert 0 < cursor < 2**64
    assert core_of_cursor(cursor) == core
    assert Cursors(core, cores, life).position(cursor) == position
    assert Cursors(core, cores, life + 1).position(cursor) == 0
    assert Cursors(core, cores, life).after(0) == (core + 1) % cores


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (b"*", b"", True),
        (b"a*", b"abc", True),
        (b"a*c", b"abcd", False),
        (b"a?c", b"abc", True),
        (b"[a-c]x", b"bx", True),
        (b"[^a-c]x", b"bx", False),
        (b"[c-a]", b"b", True),
        (b"\\*", b"*", True),
        (b"\\*", b"a", False),
        (b"[\\]]", b"]", True),
        (b"[abc", b"c", True),
        (b"", b"", True),
        (b"", b"a", False),
        (b"*a*b*c*", b"xxaxxbxxcxx", True),
    ],
)
def test_patterns_match_as_in_redis(pattern: bytes, text: bytes, fits: bool) -> None:
    assert matches(compile_pattern(pattern), text) is fits


def test_a_hostile_pattern_costs_length_times_length() -> None:
    assert not matches(compile_pattern(b"a*" * 500 + b"b"), b"a" * 2_000)
