"""Calls of a client under way: each is answered exactly once, whatever the links report and in whatever order."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove import Misuse, Name, Reason
from regrove.node.client.desk import Answer, Desk
from regrove.node.client.directory import Directory
from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.messages import encode
from regrove.node.core.reasons import MailboxFull, NoReply, Undecodable, Unreachable
from regrove.node.core.sent import Sent
from regrove.supervisor.reasons import NoConnection, NoProcess
from regrove.transport.events import Items, LinkEvent, LinkLost, PeerSilent, Refused, Room, Verdict
from regrove.transport.links import LinkTable


class Links:
    """What a desk asks of a link table, written down."""

    def __init__(self) -> None:
        self.posted: list[tuple[Home, tuple[Any, ...], object]] = []
        self.known: dict[Home, str] = {}
        self.verdict = Verdict.OK

    def post(self, peer: Home, item: tuple[Any, ...], notify: object = None) -> Verdict:
        if self.verdict is Verdict.OK:
            self.posted.append((peer, item, notify))
        return self.verdict

    def learn(self, peer: Home, endpoint: str, key: str = "") -> bool:
        self.known[peer] = endpoint
        return True

    def forget(self, peer: Home, reason: str) -> None:
        del self.known[peer]


def home(core: int, life: int = 1) -> Home:
    return Home("n@h", 1, core, life)


def info(*lives: int, names: tuple[tuple[str, int], ...] = (("x", 0), ("y", 1))) -> dict[str, Any]:
    cores = [{"core": core, "incarnation": life, "endpoint": f"ipc://{core}.{life}"} for core, life in enumerate(lives)]
    return {"node": "n@h", "incarnation": 1, "cores": cores, "names": [list(name) for name in names]}


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def desk(links: Links) -> Desk:
    made = Desk(cast(LinkTable, links), Directory(local=True))
    made.update(info(1, 1))
    return made


def reply(token: int, value: object, peer: Home | None = None) -> LinkEvent:
    return Items(peer or home(0), 1, 1, ((remote.REPLY, token, encode(value)),))


def failed(token: int, reason: Reason) -> LinkEvent:
    return Items(home(0), 1, 1, ((remote.FAILED, token, encode(reason)),))


def test_a_call_goes_to_the_holder_and_its_reply_is_the_answer(desk: Desk, links: Links) -> None:
    token = desk.call("y", b"payload", 500)
    assert links.posted == [(home(1), (remote.CALL, "y", 0, token, 500, b"payload"), token)]
    assert desk.under_way == 1
    desk.take([reply(token, 7, home(1))])
    assert desk.answers == [Answer(token, payload=encode(7))]
    assert desk.under_way == 0


def test_a_send_is_told_what_the_link_said(desk: Desk, links: Links) -> None:
    assert desk.send("x", b"m") is Sent.OK
    assert links.posted == [(home(0), (remote.SEND, "x", 0, b"m"), None)]
    for verdict, sent in [
        (Verdict.LINK_FULL, Sent.LINK_FULL),
        (Verdict.UNREACHABLE, Sent.UNREACHABLE),
        (Verdict.TOO_LARGE, Sent.TOO_LARGE),
    ]:
        links.verdict = verdict
        assert desk.send("x", b"m") is sent
    assert desk.send("nobody", b"m") is Sent.STALE


def test_a_call_the_link_does_not_take_is_answered_at_once_and_says_when_the_place_was_wrong(
    desk: Desk, links: Links
) -> None:
    token = desk.call("nobody", b"", 1)
    links.verdict = Verdict.UNREACHABLE
    second = desk.call("x", b"", 1)
    links.verdict = Verdict.LINK_FULL
    third = desk.call("x", b"", 1)
    assert [(answer.token, type(answer.reason).__name__, answer.elsewhere) for answer in desk.answers] == [
        (token, "NoProcess", True),
        (second, "Unreachable", True),
        (third, "LinkFull", False),
    ]
    assert desk.under_way == 0


def test_a_refusal_is_the_answer_and_only_a_missing_name_may_be_elsewhere(desk: Desk) -> None:
    first, second = desk.call("x", b"", 1), desk.call("x", b"", 1)
    desk.take([Refused(home(0), first, encode(MailboxFull()), 1), Refused(home(0), second, encode(NoProcess()), 2)])
    assert desk.answers == [
        Answer(first, reason=MailboxFull()),
        Answer(second, reason=NoProcess(), elsewhere=True),
    ]


def test_a_failure_with_its_reason_is_the_answer(desk: Desk) -> None:
    token = desk.call("x", b"", 1)
    desk.take([failed(token, NoReply())])
    assert desk.answers == [Answer(token, reason=NoReply())]


def test_what_is_no_reason_is_undecodable(desk: Desk) -> None:
    first, second = desk.call("x", b"", 1), desk.call("x", b"", 1)
    desk.take([Items(home(0), 1, 1, ((remote.FAILED, first, encode(5)), (remote.FAILED, second, b"\xc1")))])
    assert [type(answer.reason) for answer in desk.answers] == [Undecodable, Undecodable]


def test_a_lost_link_fails_what_left_with_no_connection_and_the_rest_as_unreachable(desk: Desk) -> None:
    left, stayed, other = desk.call("x", b"", 1), desk.call("x", b"", 1), desk.call("y", b"", 1)
    stale = desk.take([LinkLost(home(0), "reset", unacknowledged=(left,), never_left=(stayed,))])
    assert stale
    assert desk.answers == [
        Answer(stayed, reason=Unreachable(), elsewhere=True),
        Answer(left, reason=NoConnection()),
    ]
    assert desk.under_way == 1
    desk.take([reply(other, 1, home(1))])
    assert desk.answers[-1].token == other


def test_a_call_whose_request_was_acknowledged_fails_too_when_the_link_is_lost(desk: Desk) -> None:
    token = desk.call("x", b"", 1)
    desk.take([LinkLost(home(0), "reset")])
    assert desk.answers == [Answer(token, reason=NoConnection())]


def test_a_newer_life_fails_the_calls_to_the_older_one_and_is_dialled(desk: Desk, links: Links) -> None:
    token = desk.call("y", b"", 1)
    desk.update(info(1, 2))
    assert desk.answers == [Answer(token, reason=NoConnection())]
    assert links.known == {home(0): "ipc://0.1", home(1, 2): "ipc://1.2"}
    desk.call("y", b"", 1)
    assert links.posted[-1][0] == home(1, 2)


def test_a_silent_core_is_not_used_until_the_directory_names_it_again(desk: Desk, links: Links) -> None:
    assert desk.take([PeerSilent(home(0))])
    assert desk.send("x", b"") is Sent.UNREACHABLE
    desk.update(info(1, 1))
    assert desk.send("x", b"") is Sent.OK


def test_an_answer_from_a_core_that_was_not_asked_is_dropped(desk: Desk) -> None:
    token = desk.call("x", b"", 1)
    desk.take([reply(token, 1, home(1)), reply(99, 1), Refused(home(0), 99, encode(NoProcess()), 1)])
    assert desk.answers == []
    assert desk.dropped == 3
    assert desk.under_way == 1


@pytest.mark.parametrize("item", [(), (remote.REPLY,), (remote.REPLY, "a", b""), (remote.FAILED, 1), (99, 1), (1, b"")])
def test_items_that_are_none_of_a_clients_are_dropped(desk: Desk, item: tuple[Any, ...]) -> None:
    desk.call("x", b"", 1)
    desk.take([Items(home(0), 1, 1, (item,))])
    assert desk.dropped == 1
    assert desk.under_way == 1


def test_after_giving_up_a_late_answer_reaches_nobody(desk: Desk) -> None:
    token = desk.call("x", b"", 1)
    desk.give_up(token)
    desk.take([reply(token, 1)])
    assert desk.answers == []
    assert desk.under_way == 0


def test_a_target_that_is_none_is_the_callers_mistake(desk: Desk) -> None:
    with pytest.raises(Misuse):
        desk.call(cast(Any, 5), b"", 1)
    assert desk.under_way == 0


STEP = st.sampled_from(["call x", "call y", "reply", "fail", "refuse", "lose", "silent", "replace", "room", "give up"])


@given(st.lists(STEP, max_size=30))
def test_whatever_happens_every_call_is_answered_at_most_once_and_none_is_forgotten(steps: list[str]) -> None:
    links = Links()
    desk = Desk(cast(LinkTable, links), Directory(local=True))
    lives = [1, 1]
    desk.update(info(*lives))
    asked: list[int] = []
    given_up: set[int] = set()
    for number, step in enumerate(steps):
        core = number % 2
        token = asked[number % len(asked)] if asked else 0
        peer = home(core, lives[core])
        match step:
            case "call x" | "call y":
                asked.append(desk.call(Name(step[-1]), b"", 1))
            case "reply":
                desk.take([reply(token, number, peer)])
            case "fail":
                desk.take([failed(token, NoReply())])
            case "refuse":
                desk.take([Refused(peer, token, encode(MailboxFull()), 1)])
            case "lose":
                desk.take([LinkLost(peer, "reset", unacknowledged=tuple(asked[-2:]), never_left=(token,))])
            case "silent":
                desk.take([PeerSilent(peer)])
            case "replace":
                lives[core] += 1
                desk.update(info(*lives))
            case "room":
                desk.take([Room(peer)])
            case "give up":
                desk.give_up(token)
                given_up.add(token)
    for core, life in enumerate(lives):
        desk.take([LinkLost(home(core, life), "the end")])
    answered = [answer.token for answer in desk.answers]
    assert len(answered) == len(set(answered))
    assert set(answered) | given_up >= set(asked)
    assert desk.under_way == 0
