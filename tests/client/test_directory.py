"""The client's directory: which life of which core a target is on, and what to say when it is nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import Address, Misuse, Name
from regrove.node.client.directory import Directory, Door
from regrove.node.core.address import Home
from regrove.node.core.sent import STALE, UNREACHABLE


def core(index: int, incarnation: int = 1) -> dict[str, Any]:
    return {
        "core": index,
        "incarnation": incarnation,
        "endpoint": f"ipc://c{index}.{incarnation}",
        "remote": f"tcp://here:{index}",
        "key": "k",
    }


def info(*cores: dict[str, Any], names: list[list[Any]] | None = None, nodes: Any = ()) -> dict[str, Any]:
    return {
        "node": "shop@here",
        "incarnation": 7,
        "cluster": "regrove",
        "application": "shop",
        "cores": list(cores),
        "names": names or [],
        "nodes": list(nodes),
    }


def home(index: int, incarnation: int = 1, node: str = "shop@here", node_incarnation: int = 7) -> Home:
    return Home(node, node_incarnation, index, incarnation)


OTHER = {
    "node": "bank@there",
    "incarnation": 3,
    "cores": [{"core": 0, "incarnation": 2, "remote": "tcp://there:1", "key": "z"}],
    "names": [["desk", 0]],
}


def directory(*args: Any, local: bool = True, **kwargs: Any) -> Directory:
    made = Directory(local)
    made.update(info(*args, **kwargs))
    return made


def test_a_name_is_the_lowest_core_that_holds_it() -> None:
    known = directory(core(0), core(1), core(2), names=[["x", 2], ["x", 1]])
    assert known.resolve("x") == (home(1), "x", 0)
    assert known.resolve(Name("x")) == (home(1), "x", 0)
    assert known.holder(Name("x")) == Name("x", "shop@here", 1)


def test_a_core_pins_the_name_even_when_the_directory_does_not_know_it_there() -> None:
    known = directory(core(0), core(1), names=[["x", 0]])
    assert known.resolve(Name("x", core=1)) == (home(1), "x", 0)
    assert known.resolve(Name("x", core=9)) is UNREACHABLE


def test_a_name_nobody_holds_is_stale_and_an_unknown_node_is_unreachable() -> None:
    known = directory(core(0))
    assert known.resolve("nobody") is STALE
    assert known.resolve(Name("x", node="far@away")) is UNREACHABLE
    assert known.holder(Name("nobody")) is None


def test_a_holder_whose_core_is_down_is_passed_over_for_the_next_one() -> None:
    known = directory(core(1), names=[["x", 0], ["x", 1]])
    assert known.resolve("x") == (home(1), "x", 0)


def test_the_names_of_a_core_that_is_being_replaced_are_unreachable_until_its_tree_has_started() -> None:
    known = directory(core(0), core(1), names=[["x", 1], ["y", 0]])
    known.update(info(core(0), names=[["y", 0]]))
    assert known.resolve("x") is UNREACHABLE
    known.update(info(core(0), core(1, 2), names=[["y", 0]]))
    assert known.resolve("x") is UNREACHABLE
    assert known.resolve("z") is STALE
    known.update(info(core(0), core(1, 2), names=[["y", 0], ["z", 1]]))
    assert known.resolve("x") is STALE
    assert known.resolve("z") == (home(1, 2), "z", 0)


def test_a_name_that_its_holder_gave_back_is_stale() -> None:
    known = directory(core(0), names=[["x", 0], ["y", 0]])
    known.update(info(core(0), names=[["y", 0]]))
    assert known.resolve("x") is STALE


def test_a_core_that_was_dropped_is_not_resolved_until_an_update_names_it_again() -> None:
    known = directory(core(0), names=[["x", 0]])
    known.drop(home(0))
    assert known.resolve("x") is UNREACHABLE
    learned, gone = known.update(info(core(0), names=[["x", 0]]))
    assert [door.home for door in learned] == [home(0)]
    assert gone == []
    assert known.resolve("x") == (home(0), "x", 0)


def test_dropping_an_older_life_leaves_the_present_one() -> None:
    known = directory(core(0, 2), names=[["x", 0]])
    known.drop(home(0, 1))
    assert known.resolve("x") == (home(0, 2), "x", 0)


def test_an_address_is_resolved_only_while_that_life_of_its_core_lasts() -> None:
    known = directory(core(0, 2))
    assert known.resolve(Address(home(0, 2), 5, 6)) == (home(0, 2), 5, 6)
    assert known.resolve(Address(home(0, 1), 5, 6)) is STALE
    assert known.resolve(Address(home(3), 5, 6)) is UNREACHABLE
    assert known.resolve(Address(home(0, 2, node_incarnation=6), 5, 6)) is STALE


def test_an_update_says_which_lives_are_new_and_which_are_over() -> None:
    known = directory(core(0), core(1))
    learned, gone = known.update(info(core(0), core(1, 2)))
    assert learned == [Door(home(1, 2), "ipc://c1.2")]
    assert gone == [home(1)]


def test_local_cores_are_dialled_by_ipc_without_a_key_and_remote_ones_by_tcp_with_theirs() -> None:
    assert directory(core(0)).doors == {("shop@here", 0): Door(home(0), "ipc://c0.1")}
    assert directory(core(0), local=False).doors == {("shop@here", 0): Door(home(0), "tcp://here:0", "k")}


def test_joined_nodes_are_reached_by_tcp_and_named_in_full_or_without_their_host() -> None:
    known = directory(core(0), nodes=[OTHER])
    there = home(0, 2, "bank@there", 3)
    assert known.nodes() == ("shop@here", "bank@there")
    assert known.resolve(Name("desk", node="bank@there")) == (there, "desk", 0)
    assert known.resolve(Name("desk", node="bank")) == (there, "desk", 0)
    assert known.resolve("desk") is STALE
    assert known.doors[("bank@there", 0)] == Door(there, "tcp://there:1", "z")


def test_half_a_name_that_fits_two_nodes_fits_none() -> None:
    known = directory(core(0), nodes=[OTHER, OTHER | {"node": "bank@yonder"}])
    assert known.resolve(Name("desk", node="bank")) is UNREACHABLE


@pytest.mark.parametrize("target", [None, 1, b"x", ("x", None, None)])
def test_what_is_no_target_is_refused(target: object) -> None:
    with pytest.raises(Misuse, match="a message goes to an Address, a Name or a text"):
        directory(core(0)).resolve(target)
