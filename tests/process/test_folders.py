"""Runtime folders: where they are, who may use them, and one node a name."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from regrove.node.process.control import bind_unix, connect_unix
from regrove.node.process.folders import (
    FolderError,
    NodeNameTaken,
    RuntimeFolder,
    default_runtime_root,
    default_state_root,
    find_nodes,
    is_locked,
    private_folder,
    runtime_roots,
    short_folder,
)

NAME = "one@h"


def test_a_claimed_folder_holds_lock_and_pid_and_is_private(tmp_path: Path) -> None:
    runtime = RuntimeFolder(tmp_path / "run", NAME)
    runtime.claim()
    assert runtime.folder.pid() == os.getpid()
    assert runtime.folder.path.stat().st_mode & 0o777 == 0o700
    assert is_locked(runtime.folder)
    runtime.release()
    assert not is_locked(runtime.folder)
    assert runtime.folder.pid() is None


def test_a_second_claim_is_refused_naming_the_first(tmp_path: Path) -> None:
    first, second = RuntimeFolder(tmp_path, NAME), RuntimeFolder(tmp_path, NAME)
    first.claim()
    with pytest.raises(NodeNameTaken, match=rf"already runs here \(pid {os.getpid()}"):
        second.claim()
    assert is_locked(first.folder)
    first.release()
    second.claim()
    second.release()


def test_two_names_live_side_by_side(tmp_path: Path) -> None:
    first, second = RuntimeFolder(tmp_path, "one@h"), RuntimeFolder(tmp_path, "two@h")
    first.claim()
    second.claim()
    found = find_nodes({"REGROVE_RUNTIME_DIR": str(tmp_path)})
    assert [folder.name for folder in found if folder.path.parent == tmp_path] == ["one@h", "two@h"]
    first.release()
    found = find_nodes({"REGROVE_RUNTIME_DIR": str(tmp_path)})
    assert [folder.name for folder in found if folder.path.parent == tmp_path] == ["two@h"]
    second.release()


def test_an_incarnation_is_never_used_twice_even_when_the_clock_steps_back(tmp_path: Path) -> None:
    runtime = RuntimeFolder(tmp_path, NAME)
    runtime.claim()
    assert [runtime.next_incarnation(wall) for wall in (1000, 1000, 5, 2000)] == [1000, 1001, 1002, 2000]
    runtime.folder.incarnation_file.write_text("garbage\n")
    assert runtime.next_incarnation(3000) == 3000
    runtime.release()


def test_sockets_of_an_earlier_life_are_swept_and_files_are_not(tmp_path: Path) -> None:
    runtime = RuntimeFolder(tmp_path, NAME)
    runtime.claim()
    runtime.release()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(runtime.folder.path / "core-0.1"))
    (runtime.folder.path / "notes").write_text("mine")
    runtime.claim()
    assert sorted(path.name for path in runtime.folder.path.iterdir()) == ["lock", "notes", "pid"]
    runtime.release()


def test_a_symlink_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / NAME).symlink_to(tmp_path / "real")
    with pytest.raises(FolderError, match="is a symlink"):
        RuntimeFolder(tmp_path, NAME).claim()


def test_a_root_that_is_a_symlink_of_another_user_is_refused_and_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    link = tmp_path / "run"
    link.symlink_to(tmp_path / "real")
    runtime = RuntimeFolder(link, NAME)
    runtime.claim()  # ours
    searched = {"REGROVE_RUNTIME_DIR": str(link)}
    assert [folder.path.parent for folder in find_nodes(searched)][:1] == [link]
    if os.getuid() == 0:
        os.chown(link, 4711, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert [folder for folder in find_nodes(searched) if folder.path.parent == link] == []
    with pytest.raises(FolderError, match=r"run is a symlink of another user, who could turn it elsewhere; give"):
        RuntimeFolder(link, "two@h").claim()
    runtime.release()


def test_a_folder_that_others_may_enter_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME).chmod(0o755)
    with pytest.raises(FolderError, match=r"mode 0755\); run chmod 700"):
        RuntimeFolder(tmp_path, NAME).claim()


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(FolderError, match="is no folder"):
        private_folder(tmp_path / "x", "state folder")
    with pytest.raises(FolderError, match="cannot be made"):
        private_folder(tmp_path / "x" / "y", "state folder")


def test_a_lock_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(mode=0o700)
    (tmp_path / NAME / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="cannot be opened"):
        RuntimeFolder(tmp_path, NAME).claim()
    assert not (tmp_path / "elsewhere").exists()


def test_runtime_roots_come_in_the_order_of_the_design() -> None:
    environ = {"REGROVE_RUNTIME_DIR": "/a", "RUNTIME_DIRECTORY": "/b:/c", "XDG_RUNTIME_DIR": "/d"}
    roots = [str(root) for root, _ in runtime_roots(environ)]
    assert roots == ["/a", "/b", "/d/regrove", "/run/regrove", f"/tmp/regrove-{os.getuid()}"]
    assert default_runtime_root(environ) == (Path("/a"), "REGROVE_RUNTIME_DIR")
    assert default_state_root({"STATE_DIRECTORY": "/s:/t"})[0] == Path("/s")
    assert default_state_root({"XDG_STATE_HOME": "/x"})[0] == Path("/x/regrove")
    assert default_state_root({"HOME": "/u"})[0] == Path("/u/.local/state/regrove")


def test_a_socket_path_of_any_length_can_be_bound_and_connected(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        bind_unix(listener, folder / "control")
        listener.listen()
        connect_unix(client, folder / "control")
    assert (folder / "control").is_socket()


def test_only_a_folder_with_a_long_path_needs_a_short_one() -> None:
    assert short_folder(Path("/run/user/1000/regrove/one@h")) is None
    assert short_folder(Path("/" + "x" * 81)) is None
    assert short_folder(Path("/" + "x" * 82)) == Path(f"/tmp/regrove-{os.getuid()}")


def test_a_full_disk_is_told_with_the_file_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FolderError, match=r"one@h/pid cannot be written: No space left on device"):
        RuntimeFolder(tmp_path, NAME).claim()
