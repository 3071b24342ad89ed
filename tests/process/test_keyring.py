"""The keys of tcp on loopback: one pair a user, made at first use."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrove.node.process.folders import FolderError
from regrove.node.process.keyring import loopback_keys, read_keys, shared


def test_the_pair_is_made_once_and_private(tmp_path: Path) -> None:
    environ = {"REGROVE_STATE_DIR": str(tmp_path / "state")}
    first = loopback_keys(environ)
    assert loopback_keys(environ) == first
    files = list((tmp_path / "state").iterdir())
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
    assert first.secret not in repr(first)


def test_only_holders_of_the_pair_are_let_in(tmp_path: Path) -> None:
    pair = loopback_keys({"REGROVE_STATE_DIR": str(tmp_path / "a")})
    stranger = loopback_keys({"REGROVE_STATE_DIR": str(tmp_path / "b")})
    curve = shared(pair)
    assert curve.allowed(pair.public)
    assert not curve.allowed(stranger.public)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    loopback_keys({"REGROVE_STATE_DIR": str(tmp_path / "state")})
    (path,) = (tmp_path / "state").iterdir()
    path.chmod(0o644)
    with pytest.raises(FolderError, match="chmod 600"):
        read_keys(path)


def test_a_missing_or_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"none\.key"):
        read_keys(tmp_path / "none.key")
    damaged = tmp_path / "damaged.key"
    damaged.write_text("public = short\n")
    damaged.chmod(0o600)
    with pytest.raises(FolderError, match=r"damaged\.key"):
        read_keys(damaged)
