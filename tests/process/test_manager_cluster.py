"""The manager's decisions about other nodes: who is there, what they are told, and what they say."""

from __future__ import annotations

from regrove.node.cluster.views import CoreNames, MemberView, NodeView
from regrove.node.core.ports import NamesChanged, PeerCore, PeerGone
from regrove.node.process.manager_events import (
    CoreEnded,
    CoreNamed,
    Dial,
    Finish,
    Note,
    PeerLost,
    PeerTold,
    Share,
    StopAsked,
    Tell,
    Tick,
)
from regrove.node.process.peers import GATHER
from regrove.supervisor.reasons import CoreDown, NoConnection
from tests.process.stories import NODE, OTHER, booted, bound, notes, of, of_view, peer_view, quiet, seen


def test_names_of_a_core_reach_the_other_cores_and_the_other_nodes() -> None:
    state = booted()
    actions = quiet(state.decide(1, CoreNamed(0, 1, ("ledger",))))
    assert actions == [
        Tell(1, NamesChanged(NODE, 0, ("ledger",))),
        Share(None, CoreNames(NODE, 7, 0, 1, ("ledger",))),
    ]
    assert state.decide(1, CoreNamed(0, 1, ("ledger",))) == []
    assert state.names.holders("ledger") == [(NODE, 0)]


def test_a_replacement_is_told_the_names_of_its_peers_and_they_forget_its_old_ones() -> None:
    state = booted()
    state.decide(1, CoreNamed(0, 1, ("ledger",)))
    state.decide(1, CoreNamed(1, 1, ("clock",)))
    ended = of(state.decide(2, CoreEnded(1, 1, "died")), Tell)
    assert Tell(0, NamesChanged(NODE, 1, ())) in ended
    told = of(state.decide(3, bound(1, 2)), Tell)
    assert Tell(1, NamesChanged(NODE, 0, ("ledger",))) in told
    assert Tell(1, NamesChanged(NODE, 1, ("clock",))) not in told


def test_a_joined_node_is_greeted_and_its_cores_are_announced() -> None:
    state = booted(remote=True)
    state.decide(1, CoreNamed(0, 1, ("ledger",)))
    actions = state.decide(2, peer_view())
    assert Tell(0, PeerCore((OTHER, 1, 0, 1), "tcp://there:0", "KEY")) in actions
    shares = of(actions, Share)
    assert shares[-1] == Share(OTHER, CoreNames(NODE, 7, 0, 1, ("ledger",)))
    assert [core.endpoint for core in of_view(shares[0]).cores] == ["tcp://h:0", "tcp://h:1"]
    assert state.members.shape()["members"][1] == {
        "name": OTHER, "state": "up", "incarnation": 1, "address": "there:1",
    }  # fmt: skip


def test_the_others_hear_once_of_all_that_were_met_within_a_moment() -> None:
    state = booted(1)
    met = state.decide(1, peer_view())
    met += state.decide(GATHER // 2, PeerTold(NodeView("three@far", 1, "far:1")))
    assert [share.node for share in of(met, Share)] == [OTHER, "three@far"]
    assert of(state.decide(GATHER, Tick()), Share) == []
    assert state.deadline() == GATHER + 1
    (told,) = of(state.decide(GATHER + 1, Tick()), Share)
    assert told.node is None
    assert [member.node for member in of_view(told).members] == ["three@far", OTHER]
    assert of(state.decide(3 * GATHER, Tick()), Share) == []
    again = state.decide(4 * GATHER, PeerTold(NodeView("four@far", 1, "far:2")))
    assert [share.node for share in of(again, Share)] == ["four@far"]
    assert state.deadline() == 5 * GATHER


def test_the_same_view_twice_says_nothing_to_the_cores() -> None:
    state = booted()
    state.decide(1, peer_view())
    assert state.decide(2, peer_view()) == []


def test_a_lost_node_is_down_and_its_names_forgotten_but_its_cores_may_come_back() -> None:
    state = booted(1)
    state.decide(1, peer_view())
    state.decide(1, PeerTold(CoreNames(OTHER, 1, 0, 1, ("far",))))
    assert quiet(state.decide(2, PeerLost(OTHER, 1, "closed"))) == [Tell(0, NamesChanged(OTHER, 0, ()))]
    assert state.members.shape()["members"][1]["state"] == "down"
    assert state.decide(3, PeerLost(OTHER, 1, "closed")) == []
    assert of(state.decide(4, peer_view()), Tell) == []
    assert state.members.shape()["members"][1]["state"] == "up"


def test_a_lost_node_that_comes_back_with_a_newer_life_ends_the_cores_of_the_older() -> None:
    state = booted(1)
    state.decide(1, peer_view())
    state.decide(2, PeerLost(OTHER, 1, "closed"))
    tells = of(state.decide(3, peer_view(incarnation=2)), Tell)
    assert [tell.item for tell in tells] == [
        PeerGone((OTHER, 1, 0, 1), CoreDown(f"core 0 of {OTHER} ended, says its manager")),
        PeerCore((OTHER, 2, 0, 1), "tcp://there:0", "KEY"),
    ]


def test_a_node_that_said_it_leaves_has_left_and_is_not_down() -> None:
    state = booted(1)
    state.decide(1, peer_view())
    state.decide(1, peer_view(leaving=True))
    actions = quiet(state.decide(2, PeerLost(OTHER, 1, "closed")))
    assert actions == [Tell(0, PeerGone((OTHER, 1, 0, 1), NoConnection()))]
    assert state.members.shape()["members"][1]["state"] == "left"


def test_a_newer_incarnation_of_a_node_ends_the_older_and_an_older_one_is_ignored() -> None:
    state = booted(1)
    state.decide(1, peer_view(incarnation=5))
    tells = of(state.decide(2, peer_view(incarnation=6)), Tell)
    assert tells[0].item == PeerGone((OTHER, 5, 0, 1), CoreDown(f"core 0 of {OTHER} ended, says its manager"))
    assert tells[1].item == PeerCore((OTHER, 6, 0, 1), "tcp://there:0", "KEY")
    assert state.decide(3, peer_view(incarnation=5)) == []
    assert state.decide(3, PeerTold(CoreNames(OTHER, 5, 0, 1, ("old",)))) == []


def test_members_heard_of_are_dialled_once_they_are_strangers() -> None:
    state = booted(1)
    known = MemberView(NODE, 7, "here:1")
    third = MemberView("three@far", 1, "far:1")
    view = NodeView(OTHER, 1, "there:1", (), (known, third))
    assert of(state.decide(1, PeerTold(view)), Dial) == [Dial("far:1")]


def test_the_names_of_a_peer_are_told_once_and_forgotten_with_its_life() -> None:
    state = booted(1)
    state.decide(1, peer_view())
    entry = PeerTold(CoreNames(OTHER, 1, 0, 1, ("far",)))
    assert quiet(state.decide(1, entry)) == [Tell(0, NamesChanged(OTHER, 0, ("far",)))]
    assert state.decide(1, entry) == []
    assert notes(state.decide(2, peer_view())) == []
    tells = of(state.decide(3, peer_view(incarnation=2)), Tell)
    assert tells[0] == Tell(0, NamesChanged(OTHER, 0, ()))
    assert state.names.holders("far") == []


def test_what_happens_to_other_nodes_is_in_the_log() -> None:
    state = booted(1)
    assert notes(state.decide(1, peer_view())) == [("info", "node joined")]
    assert notes(state.decide(2, PeerLost(OTHER, 1, "cut"))) == [("warning", "node down")]
    assert notes(state.decide(3, peer_view())) == [("info", "node joined")]
    assert notes(state.decide(4, peer_view(leaving=True))) == [("info", "node leaving")]
    left = of(state.decide(5, PeerLost(OTHER, 1, "closed")), Note)
    assert left == [Note("info", "node left", {"peer": OTHER, "peer_incarnation": 1, "reason": "closed"})]


def test_a_stop_tells_everybody_that_the_node_is_leaving_and_says_why_it_ended() -> None:
    state = booted(1, remote=True)
    state.decide(0, peer_view())
    actions = state.decide(1, StopAsked("SIGTERM"))
    assert [of_view(share).leaving for share in of(actions, Share)] == [True]
    assert of(actions, Note)[0].fields == {"why": "SIGTERM", "limit_s": 20.0}
    assert state.members.shape()["members"][0]["state"] == "leaving"
    finish = of(state.decide(2, CoreEnded(0, 1, "exited with status 0")), Finish)
    assert finish == [Finish(0, "stopped: SIGTERM")]
    assert seen(state) == "stopped"
    assert state.decide(3, peer_view(incarnation=9)) == []


def test_a_replacement_is_not_reached_at_the_sockets_of_the_life_before() -> None:
    state = booted(2, remote=True)
    actions = state.decide(1, CoreEnded(1, 1, "died"))
    assert [core.core for core in of_view(of(actions, Share)[0]).cores] == [0]
    assert [core.core for core in state.view().cores] == [0]
    shares = of(state.decide(2, bound(1, 2, "tcp://h:9")), Share)
    assert of_view(shares[0]) == state.view()
    assert [(core.core, core.incarnation, core.endpoint) for core in state.view().cores] == [
        (0, 1, "tcp://h:0"),
        (1, 2, "tcp://h:9"),
    ]
