"""What a message costs, in ns: built, prepared for a local send, encoded, decoded; beside bare msgpack and dataclasses.

    python -m benchmarks.messages

Best of interleaved rounds, in CPU time: only the ratios inside one run mean anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgpack

from regrove.node.core.address import Address, Home
from regrove.node.core.messages import FIXED, check, decode, digest, encode, message, prepare

ROUNDS = 9
COUNT = 20_000


@message(name="bench:Add")  # __main__ has no name of its own
class Add:
    amount: int
    note: str


@message(name="bench:Route")
class Route:
    to: Address
    hops: int
    via: Address | None = None


@message(name="bench:Line")
class Line:
    item: str
    count: int


@message(name="bench:Order")
class Order:
    number: int
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class FrozenAdd:
    amount: int
    note: str


def rows() -> dict[str, Callable[[], object]]:
    home = Home("n@h", 1, 0, 1)
    samples: dict[str, object] = {
        "Add (int, str)": Add(5, "hello"),
        "Route (two addresses)": Route(Address(home, 1, 1), 3, Address(home, 2, 1)),
        "Order (20 lines)": Order(1, [Line("pear", n) for n in range(20)]),
        "a list of 1 000 ints": list(range(1_000)),
    }
    pack = msgpack.Packer().pack
    bare = ["bank:Add", 5, "hello"]
    packed = pack(bare)
    found: dict[str, Callable[[], object]] = {
        "build a frozen dataclass": partial(FrozenAdd, 5, "hello"),
        "build Add": partial(Add, 5, "hello"),
        "bare msgpack: pack": partial(pack, bare),
        "bare msgpack: unpack": partial(msgpack.unpackb, packed),
    }
    for name, value in samples.items():
        data = encode(value)
        found[f"prepare {name}{' (FIXED)' if type(value) in FIXED else ''}"] = partial(prepare, value)
        found[f"encode  {name}, {len(data)} bytes"] = partial(encode, value)
        found[f"decode  {name}"] = partial(decode, data)
    found["check   Add"] = partial(check, samples["Add (int, str)"])
    found["digest  Add"] = partial(digest, samples["Add (int, str)"])
    return found


def measure(action: Callable[[], object], count: int) -> float:
    began = time.process_time_ns()
    for _ in range(count):
        action()
    return (time.process_time_ns() - began) / count


def main() -> None:
    actions = rows()
    counts = {name: COUNT if measure(action, 200) < 3_000 else COUNT // 20 for name, action in actions.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            times[name].append(measure(action, counts[name]))
    for name, taken in times.items():
        print(f"{min(taken):10.0f}  {name}")


if __name__ == "__main__":
    main()
