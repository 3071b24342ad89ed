"""Looking into a message: its fields against their annotations, its digest, the callers it carries, its schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from regrove.node.core.address import Caller
from regrove.node.core.codec import encode
from regrove.node.core.errors import Misuse
from regrove.node.core.kinds import Kind, ValueKind
from regrove.node.core.shapes import Shape, completed, describe
from regrove.node.core.tables import DEPTH_LIMIT, SCALARS, TABLES
from regrove.node.core.unsendable import explain


def check(value: object) -> None:
    """Hold every field inside `value` against its annotation. Raises Misuse naming class, field, expected and got."""
    shape = TABLES.shapes.get(type(value))
    if shape is not None and shape.plain is not None and shape.plain(value):
        return  # by far the most: a message of plain fields that fit
    for inner in _walk(value):
        shape = completed(type(inner))
        if shape is None:
            continue
        for field, kind in shape.kinds.items():
            held = getattr(inner, field)
            misfit = None if kind.accepts(held) else kind.find(held)
            if misfit is not None:
                path, expected, got = misfit
                raise Misuse(
                    f"{shape.name}.{field}{path} is annotated {expected} and holds {describe(got)}: "
                    "send what the annotation says, or widen it"
                )


def callers_in(value: object) -> tuple[Caller, ...]:
    """Give the callers inside `value`, in order; at once for classes that cannot hold one."""
    traits = TABLES.traits.get(type(value))
    if traits is not None and not traits.callers:
        return ()
    return tuple(inner for inner in _walk(value) if type(inner) is Caller)


def _walk(value: object) -> list[Any]:
    """Give `value` and everything inside it that is no scalar, outside in. Raises UnsendableValue when too deep."""
    found = [value]
    level: list[Any] = [value]
    for _ in range(DEPTH_LIMIT + 2):
        level = [part for held in level for part in _parts(held)]
        if not level:
            return found
        found += level
    raise explain(value)


def _parts(value: Any) -> list[Any]:
    cls = type(value)
    if cls is list or cls is tuple:
        parts = value
    elif cls is dict:
        parts = (*value, *value.values())
    else:
        split = TABLES.splits.get(cls)
        if split is None:
            return []
        parts = split(value)
    return [part for part in parts if type(part) not in SCALARS]


def digest(value: object) -> int:
    """Give 64 bits that name the bytes of `value`: the same in every process. Raises UnsendableValue as a send does."""
    return int.from_bytes(hashlib.blake2b(encode(value), digest_size=8).digest(), "big")


def schema_digest(classes: Iterable[type]) -> int:
    """Give 64 bits that name the wire form of these message classes and of all they hold, in any order."""
    pending = [_shape_of(cls) for cls in classes]
    rows = {}
    for shape in pending:  # grows while it is walked
        if shape.name not in rows:
            rows[shape.name] = _schema_row(shape)
            pending += _held_shapes(list(shape.kinds.values()))
    text = "\n".join(rows[name] for name in sorted(rows))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _shape_of(cls: type) -> Shape:
    shape = completed(cls)
    if shape is None:
        raise Misuse(f"schema_digest takes message classes, got {cls!r}")
    return shape


def _schema_row(shape: Shape) -> str:
    fields = (f"{field}:{kind.text}{'?' if field in shape.defaults else ''}" for field, kind in shape.kinds.items())
    return f"{shape.name}({','.join(fields)})"


def _held_shapes(kinds: list[Kind]) -> list[Shape]:
    for kind in kinds:  # grows while it is walked
        kinds.extend(kind.parts)
    held = [completed(kind.cls) for kind in kinds if isinstance(kind, ValueKind)]
    return [shape for shape in held if shape is not None]
