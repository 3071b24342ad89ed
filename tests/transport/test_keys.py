"""Key files and the allow-list: who can read them, what is in them, whom they let in."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from regrove.transport.base import TransportError
from regrove.transport.handshake import Identity
from regrove.transport.keys import (
    Allowed,
    KeyPair,
    KeyProblem,
    load_allowed,
    load_pair,
    loopback_list,
    loopback_pair,
    store_allowed,
    store_pair,
    z85,
    zap_answer,
)
from regrove.transport.zeromq import make_pair

CORE = Identity("c", ("shop@north", 1, 0, 1))
CLIENT = Identity("c", ("client:1", 1, 0, 0), role="client")


@pytest.fixture
def pair() -> KeyPair:
    return make_pair()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "allowed"
    made.mkdir(mode=0o755)
    return made


def test_z85_is_that_of_rfc_32() -> None:
    assert z85(bytes.fromhex("864FD26FB559F75B")) == "HelloWorld"


def test_a_stored_pair_is_read_back_and_only_its_owner_can(pair: KeyPair, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    store_pair(pair, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_pair(path) == pair
    assert pair.secret not in repr(pair)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_key_file_open_to_others_is_refused_with_the_mend(mode: int, pair: KeyPair, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    store_pair(pair, path)
    path.chmod(mode)
    with pytest.raises(KeyProblem, match=f"has mode {mode:04o}, open to others: chmod 600 {path}"):
        load_pair(path)


def test_a_link_to_a_key_file_is_refused(pair: KeyPair, tmp_path: Path) -> None:
    store_pair(pair, tmp_path / "real.key")
    (tmp_path / "node.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(KeyProblem, match="symbolic link"):
        load_pair(tmp_path / "node.key")


def test_keys_are_never_overwritten(pair: KeyPair, tmp_path: Path) -> None:
    store_pair(pair, tmp_path / "node.key")
    with pytest.raises(KeyProblem, match="is there already"):
        store_pair(make_pair(), tmp_path / "node.key")
    assert load_pair(tmp_path / "node.key") == pair


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "public key is 40 characters of Z85, got 0"),
        ("public = abc\nsecret = def\n", "got 3 characters"),
        ("public\n", "line 1: a key file has lines of name = value"),
        ("public = a\npublic = b\n", "line 2"),
        ("x" * 5_000, "over 4096 bytes"),
        ("\xff\xfe", "line 1"),
    ],
)
def test_a_file_that_is_no_key_file_is_refused_by_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_text(text, "latin-1")
    path.chmod(0o600)
    with pytest.raises(KeyProblem, match=problem):
        load_pair(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match=r"cannot read .*No such file.*; give a key file that"):
        load_pair(tmp_path / "none.key")
    with pytest.raises(KeyProblem, match="no regular file"):
        load_pair(tmp_path)


def test_a_bad_secret_is_refused_without_being_shown(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_text(f"public = {'a' * 40}\nsecret = {'~' * 40}\n")
    path.chmod(0o600)
    with pytest.raises(KeyProblem) as refused:
        load_pair(path)
    assert "~" not in str(refused.value)


def test_the_loopback_pair_is_made_once_in_a_private_folder(tmp_path: Path) -> None:
    state = tmp_path / "state" / "regrove"
    first = loopback_pair(state, make_pair)
    assert loopback_pair(state, make_pair) == first
    assert state.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in state.iterdir()] == ["loopback.key"]


def test_many_that_start_at_once_agree_on_one_loopback_pair(tmp_path: Path) -> None:
    children = [fork(lambda: loopback_pair(tmp_path / "shared", make_pair)) for _ in range(8)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["loopback.key"]


def fork(function: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def test_a_state_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    with pytest.raises(TransportError, match=f"chmod 700 {state}"):
        loopback_pair(state, make_pair)


def test_an_allow_list_says_who_may_be_whom(pair: KeyPair, folder: Path) -> None:
    observer, client = make_pair(), make_pair()
    store_allowed(Allowed("north", pair.public, "member", "shop@north"), folder)
    store_allowed(Allowed("eye", observer.public, "observer"), folder)
    store_allowed(Allowed("tool", client.public, "client"), folder)
    allowed = load_allowed(folder)
    assert pair.public in allowed
    assert make_pair().public not in allowed
    assert allowed.admit(pair.public, CORE).refusal == ""
    assert allowed.admit(pair.public, CORE).rights == "member"
    assert allowed.admit(pair.public, CLIENT).rights == "member"
    assert allowed.admit(client.public, CLIENT).rights == "client"
    assert allowed.admit(observer.public, CLIENT).rights == "observer"
    other = Identity("c", ("shop@south", 1, 0, 1))
    assert allowed.admit(pair.public, other).refusal == "key: north is bound to node shop@north, not to shop@south"
    assert allowed.admit(client.public, CORE).refusal == "role: key tool is of role client and may not be a core"
    assert allowed.admit(observer.public, CORE).refusal == "role: key eye is of role observer and may not be a core"
    assert "not on the allow-list" in allowed.admit(make_pair().public, CLIENT).refusal


def test_old_and_new_key_of_a_node_are_allowed_side_by_side(pair: KeyPair, folder: Path) -> None:
    newer = make_pair()
    store_allowed(Allowed("north", pair.public, "member", "shop@north"), folder)
    store_allowed(Allowed("north-2", newer.public, "member", "shop@north"), folder)
    allowed = load_allowed(folder)
    assert not allowed.refusal(pair.public, CORE)
    assert not allowed.refusal(newer.public, CORE)


def test_where_nothing_is_proved_everybody_is_a_member(pair: KeyPair) -> None:
    assert loopback_list(pair).admit("", CORE).rights == "member"
    assert loopback_list(pair).admit(pair.public, CORE).rights == "member"
    assert loopback_list(pair).admit(make_pair().public, CORE).refusal


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("role = member\n", "public key"),
        (f"public = {'a' * 40}\n", "role is one of member, observer, client, got ''"),
        (f"public = {'a' * 40}\nrole = king\n", "got 'king'"),
        (f"public = {'a' * 40}\nrole = member\n", "add node = name@host"),
    ],
)
def test_a_wrong_file_on_the_allow_list_is_named_and_not_skipped(text: str, problem: str, folder: Path) -> None:
    (folder / "bad.key").write_text(text)
    with pytest.raises(KeyProblem, match=f"bad.key.*{problem}"):
        load_allowed(folder)


def test_an_allow_list_that_others_can_write_is_refused(pair: KeyPair, folder: Path) -> None:
    path = store_allowed(Allowed("north", pair.public, "client"), folder)
    path.chmod(0o664)
    with pytest.raises(KeyProblem, match=f"chmod go-w {path}"):
        load_allowed(folder)
    path.chmod(0o644)
    folder.chmod(0o777)
    with pytest.raises(KeyProblem, match=f"chmod go-w {folder}"):
        load_allowed(folder)


def test_one_key_is_on_the_list_once(pair: KeyPair, folder: Path) -> None:
    store_allowed(Allowed("north", pair.public, "client"), folder)
    store_allowed(Allowed("south", pair.public, "client"), folder)
    with pytest.raises(KeyProblem, match="the same key as north"):
        load_allowed(folder)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_file_name_is_refused(name: str, pair: KeyPair, folder: Path) -> None:
    with pytest.raises(KeyProblem, match="no name for a file"):
        store_allowed(Allowed(name, pair.public, "client"), folder)


def test_a_missing_allow_list_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="cannot read the allow-list"):
        load_allowed(tmp_path / "none")


def test_zap_answers_with_the_key_as_user_id() -> None:
    raw = bytes(range(32))
    request = [b"1.0", b"7", b"regrove", b"10.0.0.1", b"", b"CURVE", raw]
    assert zap_answer(request, lambda key: key == z85(raw)) == [b"1.0", b"7", b"200", b"OK", z85(raw).encode(), b""]
    assert zap_answer(request, lambda key: False)[2] == b"400"


@pytest.mark.parametrize(
    "request_parts",
    [
        [],
        [b"1.0"],
        [b"2.0", b"7", b"", b"", b"", b"CURVE", bytes(32)],
        [b"1.0", b"7", b"", b"", b"", b"PLAIN", b"user", b"pw"],
        [b"1.0", b"7", b"", b"", b"", b"NULL"],
        [b"1.0", b"7", b"", b"", b"", b"CURVE", bytes(31)],
    ],
)
def test_zap_lets_nothing_else_in(request_parts: list[bytes]) -> None:
    answer = zap_answer(request_parts, lambda key: True)
    assert answer[2] == b"400"
    assert answer[4] == b""


def test_a_full_disk_is_told_and_leaves_no_half_key_file(
    pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyProblem, match=r"cannot write .*node\.key: No space left on device; make room there"):
        store_pair(pair, tmp_path / "node.key")
    assert list(tmp_path.iterdir()) == []
