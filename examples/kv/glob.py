"""Patterns of SCAN MATCH and CONFIG GET as Redis matches them (`util.c: stringmatchlen`), in time linear in practice.

`*`, `?`, `[abc]`, `[^a-c]` and `\\` escapes over bytes. Matching goes back to the last `*` only, so a hostile pattern
costs at most length of the pattern times length of the text.
"""

from __future__ import annotations

from typing import Final, TypeAlias

STAR: Final = None
Token: TypeAlias = "frozenset[int] | None"
ANY: Final = frozenset(range(256))


def compile_pattern(pattern: bytes) -> list[Token]:
    """Turn a pattern into tokens: STAR, or the set of bytes that may stand there."""
    tokens: list[Token] = []
    position = 0
    while position < len(pattern):
        byte = pattern[position]
        position += 1
        if byte == 42:  # *
            if not tokens or tokens[-1] is not STAR:
                tokens.append(STAR)
        elif byte == 63:  # ?
            tokens.append(ANY)
        elif byte == 91:  # [
            members, position = _members(pattern, position)
            tokens.append(members)
        else:
            if byte == 92 and position < len(pattern):
                byte = pattern[position]
                position += 1
            tokens.append(frozenset((byte,)))
    return tokens


def _members(pattern: bytes, position: int) -> tuple[frozenset[int], int]:
    """Read a class after its `[`; one that is not closed ends with the pattern, as in Redis."""
    negated = pattern[position : position + 1] == b"^"
    position += negated
    members: list[int] = []
    while position < len(pattern):
        byte = pattern[position]
        if byte == 92 and position + 1 < len(pattern):
            members.append(pattern[position + 1])
            position += 2
        elif byte == 93:  # ]
            position += 1
            break
        elif position + 2 < len(pattern) and pattern[position + 1] == 45:  # a-c
            low, high = sorted((byte, pattern[position + 2]))
            members.extend(range(low, high + 1))
            position += 3
        else:
            members.append(byte)
            position += 1
    found = frozenset(members)
    return (ANY - found if negated else found), position


def matches(tokens: list[Token], text: bytes) -> bool:
    """Tell whether the whole of `text` matches."""
    at = position = 0
    star = -1
    mark = 0
    while position < len(text):
        if at < len(tokens):
            token = tokens[at]
            if token is STAR:
                star = at
                mark = position
                at += 1
                continue
            if text[position] in token:
                at += 1
                position += 1
                continue
        if star < 0:
            return False
        at = star + 1
        mark += 1
        position = mark
    return all(token is STAR for token in tokens[at:])
