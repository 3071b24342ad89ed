"""`regrove call` builds messages from literals and JSON, prints answers as JSON, and calls nothing but messages."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove import Address, Name
from regrove.node.cli.values import BadValue, from_json, from_text, to_json
from regrove.node.core.address import Home

BANK = """
import enum
from regrove import message

class Colour(enum.Enum):
    RED = 1
    GREEN = 2

@message
class Account:
    id: str

@message
class Add:
    amount: int
    note: str = ""

@message
class Move:
    to: Account
    colour: Colour = Colour.RED
    parts: tuple[int, ...] = ()

def boom():
    raise RuntimeError("called")

class Plain:
    def __init__(self):
        raise RuntimeError("called")
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bank")
    (folder / "bank_of_cli.py").write_text(BANK)
    (folder / "broken_of_cli.py").write_text("import no_such_thing_at_all\n")
    (folder / "raising_of_cli.py").write_text("1 / 0\n")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("bank_of_cli")
    sys.path.remove(str(folder))
    del sys.modules["bank_of_cli"]


def test_a_literal_becomes_the_message(bank: Any) -> None:
    assert from_text("bank_of_cli:Add(amount=1)") == bank.Add(1)
    assert from_text("bank_of_cli:Add(1, note='x')") == bank.Add(1, "x")


def test_inner_messages_and_enums_come_from_the_module_of_the_outer_one(bank: Any) -> None:
    assert from_text("bank_of_cli:Move(to=Account('a'), colour=Colour.GREEN, parts=(1, 2))") == bank.Move(
        bank.Account("a"), bank.Colour.GREEN, (1, 2)
    )


def test_names_are_built_without_a_module_everywhere(bank: Any) -> None:
    assert from_text("Name('ledger', core=1)") == Name("ledger", core=1)
    assert from_text("[Name('a')]") == [Name("a")]


def test_plain_values_are_requests_too() -> None:
    assert from_text("{'k': [1, (2.5, None)]}") == {"k": [1, (2.5, None)]}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nowhere_of_cli:Add()", "there is no module 'nowhere_of_cli' in "),
        ("bank_of_cli.deeper:Add()", "there is no module 'bank_of_cli.deeper' in "),
        ("broken_of_cli:Add()", "module 'broken_of_cli' does not import: No module named 'no_such_thing_at_all'"),
        ("raising_of_cli:Add()", "module 'raising_of_cli' does not import: ZeroDivisionError: division by zero"),
        ("bank_of_cli:Ad(1)", "module 'bank_of_cli' has no 'Ad'; it has Account, Add, Move"),
        ("bank_of_cli:Add(2, nota='x')", "its fields are amount, note"),
        ("bank_of_cli:Add('x')", "its fields are amount, note"),
        ("bank_of_cli:Add()", "its fields are amount, note"),
        ("bank_of_cli:boom()", "bank_of_cli:boom is not a message class, so it is not called"),
        ("bank_of_cli:Plain()", "bank_of_cli:Plain is not a message class, so it is not called"),
        ("os:system('true')", "os:system is not a message class, so it is not called"),
        ("builtins:eval('1')", "builtins:eval is not a message class, so it is not called"),
        ("Add(1)", "'Add' does not say its module; write module:Add"),
        ("bank_of_cli:Colour.BLUE", "bank_of_cli:Colour has no member 'BLUE'; it has RED, GREEN"),
        ("bank_of_cli:Add.amount", "bank_of_cli:Add is not an enum"),
        ("bank_of_cli:Colour(1)", "bank_of_cli:Colour is not a message class"),
        ("99999999999999999999999", "has more than 64 bits"),
        ("{[1]: 2}", "a dict has a list as its key; keys are plain values or tuples"),
        ("{(1, [2]): 3}", "a dict has a key with a list or a dict inside"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_mend(bank: Any, text: str, error: str) -> None:
    with pytest.raises(BadValue) as caught:
        from_text(text)
    assert error in str(caught.value)


def test_json_carries_messages_enums_tuples_bytes_and_names(bank: Any) -> None:
    document = {
        "$message": "bank_of_cli:Move",
        "to": {"$message": "bank_of_cli:Account", "id": "a"},
        "colour": {"$enum": "bank_of_cli:Colour.GREEN"},
        "parts": {"$tuple": [1, 2]},
    }
    assert from_json(json.dumps(document)) == bank.Move(bank.Account("a"), bank.Colour.GREEN, (1, 2))
    assert from_json('{"$bytes": "AAE="}') == b"\x00\x01"
    assert from_json('{"$name": "x", "core": 2}') == Name("x", core=2)
    assert from_json('{"$dict": [[1, "one"], [{"$tuple": []}, 2]]}') == {1: "one", (): 2}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the input is not JSON"),
        ("{", "the input is not JSON"),
        ("NaN", "the input holds NaN, which is not JSON"),
        ('{"$message": "bank_of_cli:Add", "$enum": "x"}', "one object has one $ key"),
        ('{"$message": "Add"}', "names 'Add'; write module:Class"),
        ('{"$message": 1}', "holds '$message' with a int"),
        ('{"$other": "x"}', "holds '$other'"),
        ('{"$bytes": "%"}', "is not base64"),
        ('{"$tuple": [], "x": 1}', "holds x beside $tuple"),
        ('{"$dict": [[1]]}', "is not a pair"),
        ('{"$dict": [[[], 1]]}', "has a list as its key"),
        (
            '{"$dict": [[{"$tuple": [[]]}, 1]]}',
            "has a key with a list or a dict inside; keys are plain values or $tuple",
        ),
        ('{"$message": "bank_of_cli:Add", "amount": "x"}', "its fields are amount, note"),
        ("[" * 200 + "]" * 200, "nests deeper than 64 levels"),
        ("[" * 100_000, "not JSON"),
        ("99999999999999999999999", "has more than 64 bits"),
    ],
)
def test_bad_json_is_refused_with_its_mend(bank: Any, text: str, error: str) -> None:
    with pytest.raises(BadValue) as caught:
        from_json(text)
    assert error in str(caught.value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_every_plain_value_survives_its_json_shape(value: object) -> None:
    text = json.dumps(to_json(value))
    again = from_json(text)
    assert again == value
    assert repr(again) == repr(value)


def test_a_message_survives_its_json_shape(bank: Any) -> None:
    value = bank.Move(bank.Account("a"), bank.Colour.GREEN, (1,))
    assert from_json(json.dumps(to_json(value))) == value


def test_answers_that_cannot_be_sent_back_are_shown_as_text() -> None:
    assert to_json(Address(Home("n@h", 1, 0, 2), 3, 4)) == {"$address": "<n@h.1/0.2/3.4>"}
    assert to_json(float("nan")) == {"$other": "nan"}
    assert to_json(object)["$other"].startswith("<class")
