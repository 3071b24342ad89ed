"""Rounds: whatever shards answer, and in whatever order, a client gets its answers in the order of its commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kv.commands import SPECS, find, keys_of
from examples.kv.engine import Engine
from examples.kv.handshake import Session
from examples.kv.resp import Parser, bulks
from examples.kv.rounds import COMMANDS, Round
from examples.kv.settings import BadSetting, Settings, read_settings


def place(cores: int, key: bytes) -> int:
    return sum(key) % cores


class Server:
    """Shards without isolates: what a connection would do, at once."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.engines = [Engine(core, cores, 7) for core in range(cores)]
        self.session = Session()

    def talk(self, data: bytes, backwards: bool = False) -> bytes:
        parser = Parser()
        pending = parser.feed(data)
        answers = b""
        while pending and not self.session.closing:
            turn = Round(self.session, self.cores, lambda key: place(self.cores, key))
            pending = pending[turn.plan(pending) :]
            while shares := turn.next_shares():
                for core, share in reversed(shares) if backwards else shares:
                    turn.answered(core, self.engines[core].run(tuple(share.commands), 1_000))
                answers += turn.ready()
            answers += turn.ready()
        return answers + (parser.error or b"")


KEYS = st.sampled_from([b"a", b"b", b"c", b"dd", b"ee"])
COMMAND = st.one_of(
    st.tuples(st.just(b"SET"), KEYS, st.integers(0, 9).map(lambda number: b"%d" % number)),
    st.tuples(st.sampled_from([b"GET", b"INCR", b"DEL", b"EXISTS", b"TTL"]), KEYS),
    st.tuples(st.sampled_from([b"MGET", b"DEL", b"EXISTS"]), KEYS, KEYS, KEYS),
    st.tuples(st.just(b"MSET"), KEYS, KEYS, KEYS, KEYS),
    st.sampled_from([(b"DBSIZE",), (b"PING",), (b"FLUSHALL",), (b"nope", b"x"), (b"GET",)]),
)


@given(st.lists(COMMAND, max_size=12), st.integers(2, 4), st.booleans())
def test_several_shards_answer_what_one_would(commands: list[tuple[bytes, ...]], cores: int, backwards: bool) -> None:
    data = b"".join(bulks(list(words)) for words in commands)
    assert Server(cores).talk(data, backwards) == Server(1).talk(data)


def test_a_long_pipeline_takes_several_rounds() -> None:
    data = bulks([b"INCR", b"a"]) * (2 * COMMANDS + 5)
    assert Server(2).talk(data).endswith(b":%d\r\n" % (2 * COMMANDS + 5))


def test_answers_that_do_not_fit_one_message_are_asked_for_in_parts() -> None:
    server = Server(2)
    value = b"x" * 700_000
    server.talk(bulks([b"MSET", b"a", value, b"b", value]))
    pipeline = bulks([b"GET", b"a"]) * 3 + bulks([b"MGET", b"a", b"b", b"c"]) + bulks([b"PING"])
    one = b"$700000\r\n" + value + b"\r\n"
    assert server.talk(pipeline) == one * 3 + b"*3\r\n" + one * 2 + b"$-1\r\n" + b"+PONG\r\n"


def test_a_scan_over_all_shards_finds_every_key() -> None:
    server = Server(3)
    keys = {b"key-%d" % number for number in range(200)}
    server.talk(b"".join(bulks([b"SET", key, b"1"]) for key in keys))
    cursor, found, calls = b"0", [], 0
    while cursor != b"0" or not calls:
        lines = server.talk(bulks([b"SCAN", cursor, b"COUNT", b"20"])).split(b"\r\n")
        cursor, calls = lines[2], calls + 1
        found += lines[5::2]
    assert set(found) - {b""} == keys
    assert calls > 5


def answers_of(round_: Round) -> list[bytes]:
    return round_.ready().split(b"\r\n")[:-1]


def plan(*commands: list[bytes]) -> Round:
    turn = Round(Session(), 2, lambda key: place(2, key))
    assert turn.plan(list(commands)) == len(commands)
    turn.next_shares()
    return turn


def test_the_keys_of_a_lost_core_are_refused_and_the_others_answered() -> None:
    turn = plan([b"SET", b"a", b"1"], [b"SET", b"b", b"1"], [b"GET", b"a"])
    turn.failed(1, "is starting", may_have_run=False)
    turn.answered(0, (b"+OK\r\n",))
    gone = b"-TRYAGAIN core 1 is starting: nothing was done"
    assert answers_of(turn) == [gone, b"+OK", gone]


def test_what_may_have_run_is_unknown_for_writes_only() -> None:
    turn = plan([b"INCR", b"a"], [b"GET", b"a"])
    turn.failed(1, "was lost (NoConnection)", may_have_run=True)
    first, second = answers_of(turn)
    assert first.startswith(b"-UNKNOWN outcome: core 1 was lost (NoConnection)")
    assert second.startswith(b"-TRYAGAIN core 1")


def test_a_command_over_two_cores_that_was_done_in_part_is_unknown() -> None:
    turn = plan([b"MSET", b"a", b"1", b"b", b"2"], [b"MGET", b"a", b"b"], [b"DEL", b"a", b"b"])
    turn.failed(1, "is starting", may_have_run=False)
    turn.answered(0, (b"+OK\r\n", b"$1\r\n2\r\n", b":1\r\n"))
    first, second, third = answers_of(turn)
    assert first.startswith(b"-UNKNOWN outcome: done in part, because of TRYAGAIN core 1")
    assert second.startswith(b"-TRYAGAIN core 1")
    assert third.startswith(b"-UNKNOWN outcome: done in part")


def test_a_command_over_two_cores_that_both_refuse_is_refused() -> None:
    turn = plan([b"MSET", b"a", b"1", b"b", b"2"])
    turn.failed(0, "is stopping", may_have_run=False)
    turn.failed(1, "is starting", may_have_run=False)
    assert answers_of(turn) == [b"-TRYAGAIN core 1 is starting: nothing was done"]


def test_resp3_has_its_own_null_from_the_command_after_hello_on() -> None:
    data = b"GET x\r\nHELLO 3\r\nGET x\r\nMGET x y\r\nHELLO 2\r\nGET x\r\n"
    answers = Server(2).talk(data)
    assert answers.startswith(b"$-1\r\n%7\r\n")
    assert b"_\r\n*2\r\n_\r\n_\r\n*14\r\n" in answers
    assert answers.endswith(b"$-1\r\n")


def test_nothing_is_done_after_quit() -> None:
    server = Server(2)
    assert server.talk(b"SET a 1\r\nQUIT\r\nSET a 2\r\n") == b"+OK\r\n+OK\r\n"
    assert server.engines[1].store.values == {b"a": b"1"}


def test_every_command_is_described() -> None:
    answers = Server(2).talk(b"COMMAND COUNT\r\nCOMMAND\r\nCOMMAND DOCS\r\nCOMMAND INFO get nope\r\n")
    assert answers.startswith(b":%d\r\n*%d\r\n" % (len(SPECS), len(SPECS)))
    spec = find(b"MsEt")
    assert spec is not None
    assert keys_of(spec, [b"mset", b"a", b"1", b"b", b"2"]) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"port": "x"}, "port='x' is no whole number from 0 to 65535; write --set port=6380"),
        ({"port": "65536"}, "port='65536' is no whole number"),
        ({"port": "-1"}, "port='-1' is no whole number"),
        ({"sync": "maybe"}, "sync='maybe' is neither true nor false"),
        ({"dir": ""}, "dir='' names no folder"),
        ({"dir": "../x"}, "dir='../x' names no folder"),
        ({"host": "a b"}, "host='a b' is no host name"),
        ({"max_value": "10"}, "max_value='10' is no whole number from 64"),
        ({"prot": "1"}, "kv has no setting 'prot'; give --set with one of port"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(given: dict[str, str], problem: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_settings(given)
    assert problem in str(caught.value)


def test_settings_are_read() -> None:
    assert read_settings({}) == Settings()
    given = {
        "port": "7000",
        "sync": "TRUE",
        "dir": "/var/lib/kv/",
        "host": "::1",
        "max_clients": "9",
        "max_value": "1000",
    }
    assert read_settings(given) == Settings(7000, "::1", "/var/lib/kv", True, 9, 1000)


def spoken(*commands: bytes) -> bytes:
    return b"".join(bulks(command.split()) for command in commands)


@pytest.mark.parametrize("backwards", [False, True])
def test_exec_runs_what_multi_queued_in_order_and_answers_all_at_once(backwards: bool) -> None:
    talk = spoken(b"MULTI", b"SET a 1", b"INCR a", b"MGET a b", b"PING", b"DEL a b", b"INCR a b", b"EXEC", b"GET a")
    server = Server(3)
    answers = server.talk(spoken(b"MULTI", b"SET a 1", b"INCR a", b"MGET a b", b"PING", b"DEL a b", b"EXEC"), backwards)
    assert answers == (b"+OK\r\n" + b"+QUEUED\r\n" * 5 + b"*5\r\n+OK\r\n:2\r\n*2\r\n$1\r\n2\r\n$-1\r\n+PONG\r\n:1\r\n")
    assert server.talk(talk).endswith(b"-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")


def test_an_error_inside_exec_is_its_commands_alone() -> None:
    answers = Server(2).talk(spoken(b"SET a x", b"MULTI", b"INCR a", b"SET b 1", b"EXEC"))
    assert answers.endswith(b"*2\r\n-ERR value is not an integer or out of range\r\n+OK\r\n")


def test_discard_forgets_and_the_words_of_a_transaction_have_their_place() -> None:
    server = Server(2)
    assert server.talk(spoken(b"EXEC")) == b"-ERR EXEC without MULTI\r\n"
    assert server.talk(spoken(b"MULTI", b"MULTI")).endswith(b"-ERR MULTI calls can not be nested\r\n")
    assert server.talk(spoken(b"SET a 1", b"DISCARD", b"GET a")) == b"+QUEUED\r\n+OK\r\n$-1\r\n"
    assert server.talk(spoken(b"MULTI", b"EXEC")) == b"+OK\r\n*0\r\n"
    assert server.talk(spoken(b"WATCH a")).startswith(b"-ERR WATCH is not supported")


def test_a_transaction_is_bounded() -> None:
    server = Server(1)
    answers = server.talk(spoken(b"MULTI", *[b"PING"] * 1_025, b"EXEC"))
    assert answers.count(b"+QUEUED") == 1_024
    assert b"-ERR a transaction takes 1024 commands" in answers
    assert answers.endswith(b"-EXECABORT Transaction discarded because of previous errors.\r\n")
