"""`regrove call` reads literals: what is read, what is refused and how, and that nothing is ever evaluated."""

from __future__ import annotations

import ast
import contextlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.cli.literals import MAX_DEPTH, MAX_TEXT, Build, Items, Literal, LiteralError, Member, Plain, parse

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def value_of(literal: Literal) -> object:
    match literal:
        case Plain(value):
            return value
        case Items(kind, elements):
            values: list[Any] = [value_of(element) for element in elements]
            return kind(values)
        case _:
            raise AssertionError(literal)


def problem_with(text: str) -> LiteralError | None:
    try:
        parse(text)
    except LiteralError as problem:
        return problem
    return None


@given(PLAIN)
def test_every_plain_value_is_read_back_from_its_repr(value: object) -> None:
    assert value_of(parse(repr(value))) == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place_and_a_mend(text: str) -> None:
    problem = problem_with(text)
    if problem is not None:
        assert 0 <= problem.position <= len(text)
        assert "at character" in str(problem)


@given(st.text(alphabet="abN(){}[],:='\"\\.-+1eTruefal \n", max_size=40))
def test_hostile_texts_of_the_alphabet_of_literals_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(LiteralError):
        parse(text)


@given(PLAIN)
def test_what_python_reads_as_a_literal_means_the_same_here(value: object) -> None:
    text = repr((value, value))
    assert value_of(parse(text)) == ast.literal_eval(text)


def test_a_message_with_positional_and_named_fields_is_read() -> None:
    assert parse("bank:Add(1, note='x')") == Build("bank", "Add", (Plain(1),), (("note", Plain("x")),))


def test_messages_nest_and_inner_classes_may_leave_the_module_out() -> None:
    assert parse("a.b:Move(to=Account(1), via=c:Desk())") == Build(
        "a.b", "Move", (), (("to", Build(None, "Account", (Plain(1),), ())), ("via", Build("c", "Desk", (), ())))
    )


def test_enum_members_are_read_with_and_without_a_module() -> None:
    assert parse("bank:Colour.RED") == Member("bank", "Colour", "RED")
    assert parse("bank:Paint(Colour.RED)") == Build("bank", "Paint", (Member(None, "Colour", "RED"),), ())


def test_true_false_and_none_as_keys_of_a_dict_are_no_modules() -> None:
    assert value_of(parse("{True:1, None:2,False:None}")) == {True: 1, None: 2, False: None}


def test_a_trailing_comma_is_allowed_and_decides_about_a_tuple_of_one() -> None:
    assert value_of(parse("(1)")) == 1
    assert value_of(parse("(1,)")) == (1,)
    assert value_of(parse("[1,]")) == [1]
    assert parse("a:B(1,)") == Build("a", "B", (Plain(1),), ())


REFUSED = {
    "": "an empty text at character 1, near '': write module:Class(field=value), for example 'bank:Add(amount=1)'",
    "hello": "'hello' is neither a value nor a message at character 1, near 'hello': quote texts; write messages with "
    "parentheses as in 'bank:Total()', enums as in 'bank:Colour.RED'",
    "bank:Add(1": "expected ')', got 'the end' at character 11, near 'bank:Add(1': close what was opened, and separate "
    "values by commas",
    "bank:Add(x=1, 2)": "a value without a name after one with a name at character 15, near 'bank:Add(x=1, 2)': write "
    "the unnamed fields first",
    "bank:Add(x=1, x=2)": "the field 'x' twice at character 15, near 'bank:Add(x=1, x=2)': give each field once",
    "bank:Add(1))": "something after the end of the message at character 12, near 'bank:Add(1))': give exactly one "
    "literal, in quotes",
    "{1, 2}": "a set, or a dict entry without ':' at character 3, near '{1, 2}': write {key: value}, or [a, b]",
    "1 + 1": "something after the end of the message at character 3, near '1 + 1': give exactly one literal, in quotes",
    "--1": "a sign without a number at character 2, near '--1': write one sign and digits, such as -5",
    "os.system('x')": "'os.system' before '(' at character 1, near \"os.system('x')\": write module:Class(), the class "
    "directly in its module",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_says_what_where_and_how_to_mend(text: str) -> None:
    with pytest.raises(LiteralError) as caught:
        parse(text)
    assert str(caught.value) == REFUSED[text]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "(lambda: 1)()",
        "[x for x in ()]",
        "f'{1}'",
        "1 if True else 2",
        "a:B(*[1])",
        "a:B(**{})",
        "a:B().c",
        "a:B()()",
        "a:B[0]",
        "'a' 'b'",
        "1j",
        "...",
        "@",
        "`x`",
        "a:B(x:=1)",
        "a:b:c()",
        "'open",
        "1__0",
        "007",
        "'\\x'",
        "\x00",
        "not True",
        "9" * 5000,
    ],
)
def test_expressions_and_broken_texts_are_refused(text: str) -> None:
    with pytest.raises(LiteralError):
        parse(text)


@pytest.mark.parametrize("opening", ["(", "[", "{1:", "a:B(", "a:B(x=", "-"])
def test_endless_nesting_is_refused_and_never_reaches_the_recursion_limit(opening: str) -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(LiteralError):
        parse(opening * 100_000)
    assert sys.getrecursionlimit() == limit


def test_the_deepest_allowed_nesting_is_read_and_one_more_is_refused() -> None:
    parse("[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1))
    with pytest.raises(LiteralError, match=f"more than {MAX_DEPTH} levels"):
        parse("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)


def test_a_text_over_the_limit_is_refused_with_its_length() -> None:
    with pytest.raises(LiteralError, match=f"a text of {MAX_TEXT + 1} characters"):
        parse(" " * (MAX_TEXT + 1))


def test_reading_imports_nothing() -> None:
    before = set(sys.modules)
    parse("antigravity:Fly(this:Zen())")
    assert "antigravity" not in set(sys.modules) - before
