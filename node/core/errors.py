"""Errors by whose fault they are; each text says what was expected, what came, and what to write instead."""

from __future__ import annotations


class RegroveError(Exception):
    """Base of every error regrove raises."""


class Misuse(RegroveError):
    """The caller's mistake: the text names the mend."""


class NotInHandler(Misuse):
    """A `ctx` was used outside the callback it was handed to, or from another thread."""


class UnsendableValue(Misuse):
    """A value that cannot travel was given to a send, a call or a reply: `path` says where in the message."""

    def __init__(self, path: str, value: object, mend: str) -> None:
        self.path = path
        self.type_name = f"{type(value).__module__}.{type(value).__qualname__}"
        super().__init__(f"{path} holds a {self.type_name}, which does not travel between isolates: {mend}")


class BoundReached(RegroveError):
    """A bound of `Bounds` was reached at the call; `bound` is its field, `limit` its value."""

    def __init__(self, bound: str, limit: int, mend: str) -> None:
        self.bound = bound
        self.limit = limit
        super().__init__(f"bound {bound} = {limit} is reached: {mend}")


class InvalidBounds(Misuse):
    """Bounds that contradict each other or do not fit the memory limit; the text carries the sum."""


class DecodeError(RegroveError):
    """Bytes that are not a message of ours; `path` names the field."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")
