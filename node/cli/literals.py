"""The language of `regrove call NAME 'bank:Add(amount=1)'`: text in, a tree of plain values out; nothing is evaluated.

    value    = number | string | bytes | True | False | None | tuple | list | dict | Name(...) | build | member
    build    = module ":" Class "(" [values] ["," name "=" value] ")"
    member   = module ":" Enum "." MEMBER

Inside a build the module may be left out: `bank:Transfer(to=Account("x"))` takes `Account` from `bank`. Reading never
imports; `values.py` turns the tree into values.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final, TypeAlias, Union

from regrove.node.core.errors import Misuse
from regrove.records import dataclass

MAX_TEXT: Final = 1024 * 1024  # characters; longer messages come as JSON on stdin
MAX_DEPTH: Final = 64  # the codec's own limit is lower than Python's recursion limit, and so is this


class LiteralError(Misuse):
    """The text is no message literal; `position` counts characters from 0."""

    def __init__(self, problem: str, text: str, position: int, mend: str) -> None:
        self.problem = problem
        self.position = position
        start = max(0, position - 30)
        shown = text[start : position + 30].replace("\n", " ")
        super().__init__(f"{problem} at character {position + 1}, near {shown!r}: {mend}")


@dataclass(frozen=True, slots=True)
class Build:
    """`module:Class(args, name=value)`; `module` is None when it is to be taken from the enclosing build."""

    module: str | None
    name: str
    args: tuple[Literal, ...]
    kwargs: tuple[tuple[str, Literal], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """`module:Enum.MEMBER`."""

    module: str | None
    name: str
    member: str


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple, a list or a dict (then the elements are pairs) whose elements may hold builds."""

    kind: type[tuple[object, ...]] | type[list[object]] | type[dict[object, object]]
    elements: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """A number, a text, bytes, True, False or None."""

    value: int | float | str | bytes | bool | None


Literal: TypeAlias = Union[Build, Member, Items, Plain]  # noqa: UP007 - a runtime alias over forward references


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


_PATTERNS: Final = (
    ("space", r"\s+"),
    ("string", r"""(?:[bB][rR]?|[rR][bB]?|[uU])?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""),
    ("number", r"(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*)?\.?\d[\d_]*\.?(?:[eE][+-]?\d+)?)(?!\w)"),
    ("reference", r"(?!(?:True|False|None):)[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*"),
    ("word", r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"),
    ("sign", r"[-+]"),
    ("mark", r"[()\[\]{},:=]"),
)
_LEXER: Final = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS))
_WORDS: Final = {"True": True, "False": False, "None": None}
_EXAMPLE: Final = "write module:Class(field=value), for example 'bank:Add(amount=1)'"


def parse(text: str) -> Literal:
    """Read one literal; raises `LiteralError` that says where, what came, and what to write instead."""
    if len(text) > MAX_TEXT:
        raise LiteralError(
            f"a text of {len(text)} characters", text, 0, f"at most {MAX_TEXT} are read; give it as JSON with -"
        )
    return _Reader(text).whole()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        found = _LEXER.match(text, position)
        if found is None:
            raise LiteralError(f"unexpected {text[position]!r}", text, position, _EXAMPLE)
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(_Token(kind, found.group(), position))
        position = found.end()
    tokens.append(_Token("end", "", position))
    return tokens


class _Reader:
    """A recursive descent with one token of look-ahead; its depth is bounded by `MAX_DEPTH`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.index = 0
        self.depth = 0

    def whole(self) -> Literal:
        if self.peek().kind == "end":
            raise self.error("an empty text", _EXAMPLE)
        value = self.value()
        if self.peek().kind != "end":
            raise self.error("something after the end of the message", "give exactly one literal, in quotes")
        return value

    def peek(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def error(self, problem: str, mend: str) -> LiteralError:
        return LiteralError(problem, self.text, self.peek().position, mend)

    def takes(self, mark: str) -> bool:
        token = self.peek()
        if token.kind == "mark" and token.text == mark:
            self.index += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.takes(mark):
            came = self.peek().text or "the end"
            raise self.error(f"expected {mark!r}, got {came!r}", "close what was opened, and separate values by commas")

    def value(self) -> Literal:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels", "messages nest less deeply than that")
        value = self._value()
        self.depth -= 1
        return value

    def _value(self) -> Literal:
        token = self.peek()
        match token.kind:
            case "string":
                return self.string()
            case "number":
                return self.number(1)
            case "sign":
                return self.signed()
            case "reference" | "word":
                return self.named()
            case "mark" if token.text in "([{":
                return self.items()
            case "end":
                raise self.error("the text ends where a value should stand", _EXAMPLE)
            case _:
                raise self.error(f"unexpected {token.text!r} where a value should stand", _EXAMPLE)

    def string(self) -> Plain:
        token = self.peek()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an unknown escape such as \d stays what it is, as in Python
                value = ast.literal_eval(token.text)
        except (SyntaxError, ValueError) as problem:
            raise self.error(f"a text that Python does not read ({problem})", "mind the backslashes") from None
        self.index += 1
        if not isinstance(value, str | bytes):
            raise self.error(f"unexpected {token.text!r}", _EXAMPLE)
        return Plain(value)

    def signed(self) -> Plain:
        negative = self.take().text == "-"
        if self.peek().kind != "number":
            raise self.error("a sign without a number", "write one sign and digits, such as -5")
        return self.number(-1 if negative else 1)

    def number(self, sign: int) -> Plain:
        token = self.peek()
        try:
            value = ast.literal_eval(token.text)
        except (SyntaxError, ValueError):
            raise self.error(f"{token.text[:40]!r} is no number", "write digits, as in Python") from None
        self.index += 1
        if not isinstance(value, int | float):
            raise self.error(f"{token.text!r} is no number", "write digits, as in Python")
        return Plain(sign * value)

    def named(self) -> Literal:
        token = self.peek()
        if token.kind == "word" and token.text in _WORDS:
            self.index += 1
            return Plain(_WORDS[token.text])
        module, _, path = token.text.rpartition(":")
        self.index += 1
        if self.takes("("):
            if "." in path:
                self.index -= 2
                raise self.error(f"{path!r} before '('", "write module:Class(), the class directly in its module")
            return self.build(module or None, path)
        name, _, member = path.rpartition(".")
        if not name or "." in name:
            self.index -= 1
            raise self.error(
                f"{token.text!r} is neither a value nor a message",
                "quote texts; write messages with parentheses as in 'bank:Total()', enums as in 'bank:Colour.RED'",
            )
        return Member(module or None, name, member)

    def build(self, module: str | None, name: str) -> Build:
        args: list[Literal] = []
        kwargs: list[tuple[str, Literal]] = []
        while not self.takes(")"):
            following = self.tokens[self.index + 1] if self.peek().kind == "word" else None
            if following is not None and following.kind == "mark" and following.text == "=":
                kwargs.append(self.keyword({key for key, _ in kwargs}))
            elif kwargs:
                raise self.error("a value without a name after one with a name", "write the unnamed fields first")
            else:
                args.append(self.value())
            if not self.takes(","):
                self.expect(")")
                break
        return Build(module, name, tuple(args), tuple(kwargs))

    def keyword(self, seen: set[str]) -> tuple[str, Literal]:
        if self.peek().text in seen:
            raise self.error(f"the field {self.peek().text!r} twice", "give each field once")
        name = self.take().text
        self.expect("=")
        return name, self.value()

    def items(self) -> Literal:
        opening = self.take().text
        if opening == "{":
            return self.pairs()
        closing = ")" if opening == "(" else "]"
        elements: list[Literal] = []
        comma = False
        while not self.takes(closing):
            elements.append(self.value())
            comma = self.takes(",")
            if not comma:
                self.expect(closing)
                break
        if opening == "(" and len(elements) == 1 and not comma:
            return elements[0]
        return Items(tuple if opening == "(" else list, tuple(elements))

    def pairs(self) -> Literal:
        elements: list[Literal] = []
        while not self.takes("}"):
            key = self.value()
            if not self.takes(":"):
                raise self.error("a set, or a dict entry without ':'", "write {key: value}, or [a, b]")
            elements.append(Items(tuple, (key, self.value())))
            if not self.takes(","):
                self.expect("}")
                break
        return Items(dict, tuple(elements))
