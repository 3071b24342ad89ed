"""Linearizability: known histories, agreement with brute force, long histories, and what is said of a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from random import Random
from typing import Any

import pytest

from regrove.node.core.errors import Misuse
from regrove.testing import REFUSED as NO
from regrove.testing import (
    UNKNOWN,
    Counter,
    History,
    Model,
    Mutex,
    NotLinearizable,
    Operation,
    Queue,
    Register,
    TooManyOrders,
    linearizable,
)


class Script:
    """A history written by hand: `one.begin("write", 1)` ... `one.ok()`."""

    def __init__(self) -> None:
        self.time = 0
        self.history = History(self.tick)

    def tick(self) -> int:
        self.time += 1_000_000
        return self.time

    def ok(self, operation: Operation, taken: Any = None) -> None:
        self.history.ok(operation, taken)

    def done(self, process: str, name: str, given: Any = None, taken: Any = None, key: Any = None) -> None:
        self.ok(self.history.invoke(process, name, given, key=key), taken)


def holds(history: History, model: Model) -> bool:
    try:
        linearizable(history, model)
    except NotLinearizable:
        return False
    return True


def test_a_read_of_the_last_write_is_linearizable() -> None:
    script = Script()
    script.done("a", "write", 1)
    script.done("b", "read", taken=1)
    assert holds(script.history, Register())


def test_a_stale_read_is_not() -> None:
    script = Script()
    script.done("a", "write", 1)
    script.done("a", "write", 2)
    script.done("b", "read", taken=1)
    with pytest.raises(NotLinearizable) as caught:
        linearizable(script.history, Register())
    assert "b: read -> 1" in str(caught.value)
    assert "possible before it: 2" in str(caught.value)
    assert "a: write 2" in str(caught.value)


def test_a_read_beside_a_write_may_see_the_old_value_or_the_new_one_but_not_the_old_one_after_the_new() -> None:
    def reads(first: int, second: int) -> History:
        script = Script()
        script.done("a", "write", 1)
        write = script.history.invoke("a", "write", 2)
        script.done("b", "read", taken=first)
        script.done("b", "read", taken=second)
        script.ok(write)
        return script.history

    assert [holds(reads(*each), Register()) for each in ((1, 1), (1, 2), (2, 2), (2, 1))] == [True, True, True, False]


def test_a_write_of_the_value_that_is_there_may_still_be_needed_later() -> None:
    script = Script()
    script.done("a", "write", 5)
    again = script.history.invoke("a", "write", 5)
    script.done("b", "write", 7)
    script.done("b", "read", taken=5)
    script.ok(again)
    assert holds(script.history, Register())


def test_an_unknown_write_may_show_at_any_later_time_and_may_not_be_taken_back() -> None:
    def seen(*values: int) -> History:
        script = Script()
        script.done("a", "write", 1)
        script.history.info(script.history.invoke("b", "write", 2))
        for value in values:
            script.done("c", "read", taken=value)
        return script.history

    assert holds(seen(1, 1, 2, 2), Register())
    assert not holds(seen(1, 2, 1), Register())


def test_a_failed_write_is_never_seen() -> None:
    script = Script()
    script.history.fail(script.history.invoke("a", "write", 1))
    script.done("b", "read", taken=1)
    assert not holds(script.history, Register())


def test_keys_are_judged_one_by_one_and_the_violation_names_its_key() -> None:
    script = Script()
    script.done("a", "write", 1, key="x")
    script.done("b", "read", taken=None, key="y")
    assert holds(script.history, Register())
    script.done("b", "read", taken=None, key="x")
    with pytest.raises(NotLinearizable, match="key 'x'"):
        linearizable(script.history, Register())


def test_a_queue_gives_each_value_once_and_in_order() -> None:
    script = Script()
    script.done("a", "put", 1)
    script.done("a", "put", 2)
    script.done("b", "take", taken=1)
    assert holds(script.history, Queue())
    script.done("c", "take", taken=1)
    assert not holds(script.history, Queue())


def test_a_lock_has_one_holder() -> None:
    script = Script()
    script.done("a", "acquire", "a", True)
    script.done("b", "acquire", "b", False)
    assert holds(script.history, Mutex())
    script.done("b", "acquire", "b", True)
    assert not holds(script.history, Mutex())


def test_an_increment_that_was_done_twice_is_found() -> None:
    script = Script()
    script.done("a", "add", 1, 1)
    script.history.info(script.history.invoke("b", "add", 1))
    script.done("c", "read", taken=2)
    assert holds(script.history, Counter())
    script.done("c", "read", taken=3)
    assert not holds(script.history, Counter())


def test_an_operation_ends_once() -> None:
    script = Script()
    operation = script.history.invoke("a", "read")
    script.ok(operation, 1)
    with pytest.raises(Misuse, match="ends once"):
        script.history.info(operation)


def test_a_name_the_model_does_not_know_is_an_error_that_says_which_it_knows() -> None:
    script = Script()
    script.done("a", "increment", 1)
    with pytest.raises(Misuse, match="Register knows read, write, cas"):
        linearizable(script.history, Register())


# --- against brute force -------------------------------------------------------------------------------------------


def orders(operations: list[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Every subset with all that is known to have happened, in every order."""
    must = [each for each in operations if each.state == "ok"]
    may = [each for each in operations if each.state in ("info", "open")]
    for bits in range(1 << len(may)):
        yield from permutations(must + [each for position, each in enumerate(may) if bits >> position & 1])


def in_real_time(order: tuple[Operation, ...]) -> bool:
    for position, later in enumerate(order):
        for earlier in order[:position]:
            if later.state == "ok" and later.ended is not None and later.ended < earlier.began:
                return False
    return True


def brute_force(history: History, model: Any) -> bool:
    for order in orders(history.operations):
        if not in_real_time(order):
            continue
        state = model.initial
        for operation in order:
            state = model.step(
                state, operation.name, operation.given, operation.taken if operation.state == "ok" else UNKNOWN
            )
            if state is NO:
                break
        else:
            return True
    return False


def register_step(random: Random) -> tuple[str, Any, Any]:
    name = random.choice(["read", "write", "cas"])
    if name == "read":
        return name, None, random.choice([None, 1, 2])
    if name == "write":
        return name, random.choice([1, 2]), None
    return name, (random.choice([1, 2]), random.choice([1, 2])), random.random() < 0.5


def queue_step(random: Random) -> tuple[str, Any, Any]:
    if random.random() < 0.5:
        return "put", random.choice([1, 2]), None
    return "take", None, random.choice([None, 1, 2])


def counter_step(random: Random) -> tuple[str, Any, Any]:
    if random.random() < 0.6:
        return "add", random.choice([1, 2]), random.choice([None, 1, 2, 3, 4])
    return "read", None, random.choice([0, 1, 2, 3])


def random_history(random: Random, step: Callable[[Random], tuple[str, Any, Any]]) -> History:
    history = History(lambda: 0)
    under_way: list[tuple[Operation, Any]] = []
    left = random.randint(2, 6)
    while left or under_way:
        if left and ((len(under_way) < 3 and random.random() < 0.6) or not under_way):
            left -= 1
            name, given, taken = step(random)
            under_way.append((history.invoke(f"p{left}", name, given), taken))
            continue
        operation, taken = under_way.pop(random.randrange(len(under_way)))
        chance = random.random()
        if chance < 0.75:
            history.ok(operation, taken)
        elif chance < 0.85:
            history.fail(operation)
        elif chance < 0.95:
            history.info(operation)
    return history


@pytest.mark.parametrize(
    ("model", "step"), [(Register(), register_step), (Queue(), queue_step), (Counter(), counter_step)]
)
def test_it_agrees_with_brute_force_on_random_small_histories(
    model: Model, step: Callable[[Random], tuple[str, Any, Any]], campaign: Callable[..., range]
) -> None:
    verdicts = {True: 0, False: 0}
    for seed in campaign(f"linearizability, {type(model).__name__}", short=700, long=100_000):
        history = random_history(Random(seed), step)
        verdict = holds(history, model)
        assert verdict == brute_force(history, model), (seed, history.operations)
        verdicts[verdict] += 1
    assert min(verdicts.values()) > 50, verdicts


# --- long histories ------------------------------------------------------------------------------------------------


def played(seed: int, count: int, processes: int, keys: int, unknown: float) -> History:
    """A history of a real register: each operation happens at an instant between its beginning and its end."""
    random = Random(seed)
    history = History(lambda: 0)
    values: dict[int, Any] = {}
    under_way: list[list[Any]] = []
    while count or under_way:
        if count and len(under_way) < processes:
            count -= 1
            key = random.randrange(keys)
            name = random.choice(["read", "read", "write", "cas"])
            given: Any = None if name == "read" else random.randrange(100)
            if name == "cas":
                given = (random.randrange(100), given)
            under_way.append([history.invoke(f"p{count}", name, given, key=key), False, None])
        chosen = under_way[random.randrange(len(under_way))]
        operation, happened, taken = chosen
        if not happened:
            chosen[1] = True
            chosen[2] = happen(operation, values)
        elif random.random() < unknown:
            history.info(operation)
            under_way.remove(chosen)
        else:
            history.ok(operation, taken)
            under_way.remove(chosen)
    return history


def happen(operation: Operation, values: dict[int, Any]) -> Any:
    key: Any = operation.key
    if operation.name == "read":
        return values.get(key)
    if operation.name == "write":
        values[key] = operation.given
        return None
    old, new = operation.given
    if values.get(key) != old:
        return False
    values[key] = new
    return True


@pytest.mark.parametrize(("keys", "unknown"), [(1, 0.0), (10, 0.02)])
def test_ten_thousand_operations_of_a_real_register_are_linearizable(keys: int, unknown: float) -> None:
    assert holds(played(1, 10_000, processes=8, keys=keys, unknown=unknown), Register())


def played_with_values_of_their_own(seed: int, count: int, processes: int, unknown: float) -> History:
    """Reads and writes of one key, of which no two write the same; whoever gets no answer is replaced by another."""
    random = Random(seed)
    history = History(lambda: 0)
    value: Any = None
    under_way: list[list[Any]] = []
    while count or under_way:
        if count and len(under_way) < processes and (not under_way or random.random() < 0.5):
            count -= 1
            name = random.choice(["read", "write", "write"])
            given = count if name == "write" else None
            under_way.append([history.invoke(f"p{count}", name, given), False, None])
            continue
        chosen = under_way[random.randrange(len(under_way))]
        operation, happened, taken = chosen
        if happened:
            history.ok(operation, taken)
            under_way.remove(chosen)
        elif random.random() < unknown:
            history.info(operation)
            under_way.remove(chosen)
            if operation.name == "write" and random.random() < 0.5:
                value = operation.given
        else:
            chosen[1], chosen[2] = True, value if operation.name == "read" else None
            value = operation.given if operation.name == "write" else value
    return history


@pytest.mark.parametrize(("processes", "unknown"), [(20, 0.0), (10, 0.05), (5, 0.2)])
def test_many_at_once_and_many_unknown_outcomes_are_decided(processes: int, unknown: float) -> None:
    history = played_with_values_of_their_own(4, 1_500, processes, unknown)
    assert holds(history, Register())
    reads = [each for each in history if each.name == "read" and each.state == "ok" and each.taken is not None]
    reads[-1].taken = reads[len(reads) // 2].taken  # long overwritten
    assert not holds(history, Register())


def test_one_wrong_answer_among_ten_thousand_is_found() -> None:
    history = played(2, 10_000, processes=8, keys=1, unknown=0.0)
    read = [each for each in history if each.name == "read" and each.state == "ok"][3_000]
    read.taken = "never written"
    with pytest.raises(NotLinearizable) as caught:
        linearizable(history, Register())
    assert caught.value.operation is read


def test_a_check_that_would_take_too_long_says_so() -> None:
    with pytest.raises(TooManyOrders, match="use more keys"):
        linearizable(played(3, 2_000, processes=8, keys=1, unknown=0.0), Register(), steps=1_000)


def test_comparing_what_is_possible_counts_too_where_the_outcome_of_many_is_unknown() -> None:
    script = Script()
    for number in range(1, 15):
        script.history.invoke("a", "add", number)  # nobody knows what became of it
    script.done("b", "read", taken=50)
    with pytest.raises(TooManyOrders):
        linearizable(script.history, Counter(), steps=300_000)  # of the model alone there are fewer
