"""Names and groups by the core that holds them."""

from __future__ import annotations

from regrove.node.cluster.names import NameTable
from regrove.node.cluster.views import CoreNames


def entry(core: int, *names: str, life: int = 1, node: str = "a@h", incarnation: int = 1) -> CoreNames:
    return CoreNames(node, incarnation, core, life, names)


def test_the_holders_of_a_name_come_by_node_and_core() -> None:
    table = NameTable()
    for core in (3, 1, 2):
        table.put(entry(core, "x"))
    table.put(entry(0, "y"))
    table.put(entry(0, "x", node="b@h"))
    assert table.holders("x") == [("a@h", 1), ("a@h", 2), ("a@h", 3), ("b@h", 0)]
    assert table.holders("x", "b@h") == [("b@h", 0)]
    assert table.holders("z") == []


def test_the_whole_list_of_a_core_is_replaced() -> None:
    table = NameTable()
    assert table.put(entry(0, "x", "y"))
    assert table.put(entry(0, "y"))
    assert table.holders("x") == []


def test_the_same_list_again_and_an_empty_first_one_say_nothing() -> None:
    table = NameTable()
    assert not table.put(entry(0))
    assert table.put(entry(0, "x"))
    assert not table.put(entry(0, "x"))


def test_an_older_life_never_replaces_a_newer_one() -> None:
    table = NameTable()
    table.put(entry(0, "x", life=2))
    assert not table.put(entry(0, "old", life=1))
    table.put(entry(0, "y", life=1, incarnation=2))
    assert not table.put(entry(0, "x", life=9, incarnation=1))
    assert table.holders("y") == [("a@h", 0)]


def test_dropping_tells_what_was_held() -> None:
    table = NameTable()
    table.put(entry(0, "x"))
    table.put(entry(2, "y"))
    table.put(entry(0, "x", node="b@h"))
    assert table.drop_core("a@h", 0)
    assert not table.drop_core("a@h", 0)
    assert table.drop_node("a@h") == [2]
    assert table.holders("x") == [("b@h", 0)]
