"""What testers give, checked at once: ratios, ranges and functions, each refused by its name and with the mend."""

from __future__ import annotations

import inspect
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import Span, duration
from regrove.node.simulation.seeds import Ratio

OFTEN_MAX: Final = 64


def often(kind: str, given: object) -> Ratio:
    """Read how often a kind strikes: `(1, 5)`, once in 5 virtual seconds; at most 64 times a second."""
    ratio = _pair_of_ints(given)
    if ratio is None or ratio[0] < 0 or ratio[1] < 1 or ratio[0] > OFTEN_MAX * ratio[1]:
        raise Misuse(
            f"{kind}(often={given!r}): often is how many times in how many virtual seconds, two whole numbers such as "
            f"(1, 5), at most {OFTEN_MAX} times a second"
        )
    return Ratio(*ratio)


def noise(kind: str, given: object) -> Ratio:
    """Read how many of all frames, or points, noise strikes: `(1, 2000)`."""
    ratio = _pair_of_ints(given)
    if ratio is None or ratio[1] < 1 or not 0 <= ratio[0] <= ratio[1]:
        raise Misuse(f"{kind}(noise={given!r}): noise is how many of how many, from none to all, such as (1, 2000)")
    return Ratio(*ratio)


def times(kind: str, name: str, given: object) -> tuple[int, int]:
    """Read a range of times as ns: `("100ms", "2s")`."""
    problem = ""
    if isinstance(given, tuple | list) and len(given) == 2:
        try:
            low, high = duration(given[0]), duration(given[1])
        except Misuse as error:
            problem = f" ({error})"
        else:
            if low <= high:
                return low, high
    raise Misuse(
        f"{kind}({name}={given!r}): {name} is a range from the shortest to the longest time, such as "
        f"('100ms', '2s'){problem}"
    )


def time(kind: str, name: str, given: Span) -> int:
    """Read one time as ns."""
    try:
        return duration(given)
    except Misuse as error:
        raise Misuse(f"{kind}({name}={given!r}): {error}") from None


def amounts(kind: str, name: str, given: object, least: int, unit: str) -> tuple[int, int]:
    """Read a range of whole numbers, none below `least`."""
    pair = _pair_of_ints(given)
    if pair is None or not least <= pair[0] <= pair[1]:
        raise Misuse(
            f"{kind}({name}={given!r}): {name} is a range of {unit}, two whole numbers from the least to the most, "
            f"none below {least}"
        )
    return pair


def switches(kind: str, **given: object) -> None:
    """Refuse what is neither True nor False."""
    for name, value in given.items():
        if type(value) is not bool:
            raise Misuse(f"{kind}({name}={value!r}): {name} is True or False")


def function(verb: str, name: str, given: object, *arguments: Any) -> None:
    """Refuse what cannot be called with so many arguments."""
    wanted = "the simulation" if arguments else "nothing"
    lambda_ = "lambda world: ..." if arguments else "lambda: ..."
    problem = Misuse(f"{verb}: {name} is a function that is called with {wanted}, such as `{lambda_}`, got {given!r}")
    if _plainly(given, len(arguments)):
        return
    if not callable(given):
        raise problem
    try:
        signature = inspect.signature(given)
    except ValueError:  # of some functions in C, and of a partial that gives more than is taken
        if isinstance(given, partial):
            raise problem from None
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise problem from None


def _plainly(given: object, count: int) -> bool:
    """Whether it is a function that takes so many: told without a signature, which takes as long as ten deliveries."""
    if type(given) is partial and not given.keywords:
        count += len(given.args)
        given = given.func
    if type(given) is MethodType:
        count += 1
        given = given.__func__
    if type(given) is not FunctionType:
        return False
    code = given.__code__
    least = code.co_argcount - len(given.__defaults__ or ())
    return least <= count <= code.co_argcount and not code.co_kwonlyargcount


def _pair_of_ints(given: object) -> tuple[int, int] | None:
    if not isinstance(given, tuple | list) or len(given) != 2:
        return None
    one, other = given
    return (one, other) if type(one) is int and type(other) is int else None
