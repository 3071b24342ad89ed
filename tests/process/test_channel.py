"""The frames between a manager and a core."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.node.core.ports import AskTree, ControlInput, NamesChanged, PeerCore, PeerGone, StopCore
from regrove.node.process.channel import input_frame, plain, read_input, reason_frame
from regrove.node.process.framing import FrameReader, FramingError, pack
from regrove.supervisor.reasons import CoreDown, Crashed, NoConnection, Shutdown

HOME = ("a@h", 1, 2, 3)
INPUTS: list[ControlInput] = [
    PeerCore(HOME, "ipc://x", "KEY"),
    PeerGone(HOME, CoreDown("killed by SIGKILL")),
    PeerGone(HOME, NoConnection()),
    NamesChanged("a@h", 2, ("x", "y"), (("g", ((1, 2), (3, 4))),)),
    StopCore(20.0, Shutdown("SIGTERM")),
    StopCore(None, Shutdown()),
    AskTree(7),
]


@pytest.mark.parametrize("item", INPUTS, ids=[type(item).__name__ for item in INPUTS])
def test_a_control_input_arrives_as_it_was_sent(item: ControlInput) -> None:
    (frame,) = FrameReader().feed(pack(input_frame(item)))
    assert read_input(frame) == item


@pytest.mark.parametrize("frame", [["boot", {}], ["go", [1]], ["level", "info"], ["links", 1]])
def test_what_is_for_the_driver_is_no_input(frame: list[Any]) -> None:
    assert read_input(frame) is None


def test_an_unknown_frame_is_refused_by_name() -> None:
    with pytest.raises(FramingError, match="'dance'"):
        read_input(["dance"])


def test_a_manager_gives_only_reasons_that_every_core_can_read() -> None:
    with pytest.raises(FramingError, match="does not give the reason"):
        reason_frame(Crashed("ValueError"))


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def test_rows_for_people_are_made_plain_whatever_they_hold() -> None:
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]
    row = {"a": (1, {2: b"x"}), "big": 2**80, "rude": Rude(), "deep": deep, "set": {1}}
    found = plain(row)
    assert found["a"] == [1, {"2": "b'x'"}]
    assert found["big"] == str(2**80)
    assert found["rude"] == "<Rude whose repr raised RuntimeError>"
    assert found["set"] == "{1}"
    assert pack(found)
