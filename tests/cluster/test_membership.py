"""The table of members: a link up or down is the truth, a newer life replaces an older one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regrove.node.cluster.membership import Membership
from regrove.node.cluster.views import CoreView, MemberView, NodeView


def view(incarnation: int = 1, *lives: int, leaving: bool = False, members: tuple[MemberView, ...] = ()) -> NodeView:
    cores = tuple(CoreView(core, life, f"tcp://b:{core}.{life}") for core, life in enumerate(lives))
    return NodeView("b@h", incarnation, "b:1", cores, members, leaving)


def table() -> Membership:
    return Membership("a@h", 9, "a:1")


def test_the_node_itself_is_the_first_row() -> None:
    members = table()
    members.apply(view())
    assert [(row["name"], row["state"], row["incarnation"]) for row in members.shape()["members"]] == [
        ("a@h", "up", 9),
        ("b@h", "up", 1),
    ]
    assert members.shape()["view"] is None


def test_a_view_of_oneself_is_ignored() -> None:
    assert table().apply(NodeView("a@h", 99, "x:1")) is None


def test_a_core_with_a_new_life_is_gone_and_come() -> None:
    members = table()
    members.apply(view(1, 1, 1))
    change = members.apply(view(1, 1, 2))
    assert change is not None
    assert [(core.core, core.incarnation) for core in change.gone] == [(1, 1)]
    assert [(core.core, core.incarnation) for core in change.come] == [(1, 2)]


def test_a_core_that_is_no_longer_listed_is_gone() -> None:
    members = table()
    members.apply(view(1, 1, 1))
    change = members.apply(view(1, 1))
    assert change is not None
    assert [core.core for core in change.gone] == [1]
    assert change.come == ()


def test_a_new_life_of_the_node_ends_all_cores_of_the_old_even_when_they_look_the_same() -> None:
    members = table()
    members.apply(view(1, 1, 1))
    change = members.apply(view(2, 1, 1))
    assert change is not None
    assert len(change.gone) == len(change.come) == 2


def test_an_older_life_is_refused() -> None:
    members = table()
    members.apply(view(5, 1))
    assert members.apply(view(4, 1)) is None


def test_a_lost_node_is_down_once() -> None:
    members = table()
    members.apply(view(1, 1))
    assert members.lost("b@h", 1, "cut") is not None
    assert members.lost("b@h", 1, "cut") is None
    row = members.get("b@h")
    assert row is not None
    assert (row.state, row.why) == ("down", "cut")


def test_the_loss_of_an_older_life_or_of_a_stranger_says_nothing() -> None:
    members = table()
    members.apply(view(2))
    assert members.lost("b@h", 1, "cut") is None
    assert members.lost("c@h", 1, "cut") is None
    assert members.lost("a@h", 9, "cut") is None


def test_a_node_that_said_goodbye_has_left() -> None:
    members = table()
    members.apply(view(1, 1))
    members.apply(view(1, leaving=True))
    members.lost("b@h", 1, "closed")
    row = members.get("b@h")
    assert row is not None
    assert (row.state, row.cores) == ("left", ())


def test_only_members_not_known_yet_are_strangers() -> None:
    members = table()
    known, older, newer = MemberView("a@h", 9, "a:1"), MemberView("b@h", 0, "b:0"), MemberView("c@h", 1, "c:1")
    nowhere = MemberView("d@h", 1, "")
    change = members.apply(view(1, members=(known, older, newer, nowhere)))
    assert change is not None
    assert change.strangers == (newer,)


def test_members_are_told_of_only_while_they_are_up() -> None:
    members = table()
    members.apply(view(1))
    assert [member.node for member in members.linked()] == ["b@h"]
    members.lost("b@h", 1, "cut")
    assert members.linked() == ()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.lists(st.integers(1, 3), max_size=3)), max_size=30))
def test_what_came_and_went_always_sums_up_to_the_cores_of_the_row(
    history: list[tuple[bool, int, list[int]]],
) -> None:
    members = table()
    alive: set[tuple[int, CoreView]] = set()
    for is_view, incarnation, lives in history:
        if not is_view:
            members.lost("b@h", incarnation, "cut")
            continue
        change = members.apply(view(incarnation, *lives))
        if change is None:
            continue
        old = change.before.incarnation if change.before is not None else incarnation
        alive -= {(old, core) for core in change.gone}
        fresh = {(incarnation, core) for core in change.come}
        assert not alive & fresh
        alive |= fresh
        assert alive == {(incarnation, core) for core in change.after.cores}


def test_a_node_that_leaves_says_so_of_itself() -> None:
    members = table()
    members.leave()
    assert members.shape()["members"] == [{"name": "a@h", "state": "leaving", "incarnation": 9, "address": "a:1"}]
