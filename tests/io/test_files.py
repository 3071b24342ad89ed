"""Files on a real disk: durability, torn writes, bounds, and paths that try to leave."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regrove.node.core.effects import Close, ListFiles, Open, Read, Remove, Rename, Sync, Truncate, Write
from regrove.node.core.ports import IoCancel, IoRelease
from regrove.node.core.reasons import Busy, OsError
from regrove.node.io import Edge, EdgeLimits
from regrove.node.io.contract import STREAM, Bench

MakeBench = Callable[..., Bench]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def open_files(bench: Bench) -> int:
    assert isinstance(bench.port, Edge)
    return bench.port.statistics().streams


def settle(bench: Bench, condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        bench.has_ended(0)
        bench._advance()
    raise AssertionError("the condition did not come true")


class Gate:
    """Holds file threads inside a function of `os` until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        real = getattr(os, name)

        def held(*arguments: object) -> object:
            self.entered.set()
            assert self.open.wait(10)
            return real(*arguments)

        monkeypatch.setattr(os, name, held)


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes in here: the kernel writes what fits, then refuses (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Writes that fail half-way


def test_an_append_that_fails_half_way_is_cut_back_and_says_so(bench: Bench, data: Path) -> None:
    bench.write_file("log", b"x" * 1_000)
    handle = bench.run(Open("log", "a"))
    with files_at_most(4_096):
        failed = bench.run(Write(STREAM, b"y" * 10_000), handle)
    assert failed.name == "EFBIG"
    assert "3096 of 10000 bytes were written, cut back to where they began at 1000" in failed.text
    assert (data / "log").read_bytes() == b"x" * 1_000
    assert bench.run(Write(STREAM, b"z"), handle) is None
    assert (data / "log").read_bytes() == b"x" * 1_000 + b"z"


def test_a_write_that_fails_at_the_end_of_a_file_is_cut_back_in_mode_w_too(bench: Bench, data: Path) -> None:
    handle = bench.run(Open("log", "w"))
    bench.run(Write(STREAM, b"head"), handle)
    with files_at_most(100):
        assert "cut back" in bench.run(Write(STREAM, bytes(200)), handle).text
    assert bench.run(Write(STREAM, b"tail"), handle) is None
    assert (data / "log").read_bytes() == b"headtail"


def test_a_write_that_fails_inside_a_file_says_what_stays(bench: Bench, data: Path) -> None:
    bench.write_file("log", b"x" * 80)
    handle = bench.run(Open("log", "r+"))
    with files_at_most(100):
        failed = bench.run(Write(STREAM, b"y" * 200), handle)
    assert "100 of 200 bytes were written and stay in the file at 0" in failed.text
    assert (data / "log").read_bytes() == b"y" * 100


def test_a_write_of_which_nothing_was_written_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = bench.run(Open("log", "a"))

    def no_space(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        failed = bench.run(Write(STREAM, b"abc"), handle)
    assert failed == OsError("ENOSPC", "write 'log': No space left on device; 0 of 3 bytes were written")
    assert bench.run(Write(STREAM, b"abc"), handle) is None


def test_short_writes_are_completed(bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, real_pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda fd, rest: real_write(fd, rest[:7]))
    monkeypatch.setattr(os, "pwrite", lambda fd, rest, at: real_pwrite(fd, rest[:7], at))
    content = bytes(range(100))
    for mode in ("w", "a", "r+"):
        handle = bench.run(Open("log", mode))
        assert bench.run(Write(STREAM, content), handle) is None
    assert (data / "log").read_bytes() == content + content


# Durability


def synced_inodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were synced, in order, from now on."""
    seen: list[int] = []
    real = os.fsync

    def record(fd: int) -> None:
        seen.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", record)
    return seen


def test_the_first_sync_of_a_stream_syncs_the_file_and_then_its_folder(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.run(Open("logs/log", "a"))
    seen = synced_inodes(monkeypatch)
    assert bench.run(Sync(STREAM), handle) is None
    file, folder = (data / "logs/log").stat().st_ino, (data / "logs").stat().st_ino
    assert seen == [file, folder]
    assert bench.run(Sync(STREAM), handle) is None
    assert seen == [file, folder, file]


def test_folders_made_for_a_file_are_synced_in_their_parents_before_it_is_used(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = synced_inodes(monkeypatch)
    bench.run(Open("a/b/log", "w"))
    assert seen == [data.parent.stat().st_ino, data.stat().st_ino, (data / "a").stat().st_ino]


def test_rename_and_remove_sync_the_folders_they_change(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("a/one", "b/other"):
        bench.write_file(path, b"")
    a, b = (data / "a").stat().st_ino, (data / "b").stat().st_ino
    seen = synced_inodes(monkeypatch)
    bench.run(Rename("a/one", "a/two"))
    bench.run(Rename("a/two", "b/two"))
    bench.run(Remove("b/two"))
    assert seen == [a, b, a, b]


def test_after_a_failed_sync_no_later_one_of_that_stream_succeeds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.run(Open("log", "a"))

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        assert bench.run(Sync(STREAM), handle) == OsError("EIO", "sync 'log': Input/output error")
    later = bench.run(Sync(STREAM), handle)
    assert later.name == "EIO"
    assert "an earlier Sync of this stream failed" in later.text
    again = bench.run(Open("log", "a"))
    assert bench.run(Sync(STREAM), again) is None


# Threads


def test_a_slow_disk_does_not_hold_up_the_core(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = bench.pair()
    handle = bench.run(Open("log", "w"))
    gate = Gate(monkeypatch, "pwrite")
    write = bench.begin(Write(STREAM, b"slow"), handle)
    assert gate.entered.wait(10)
    assert bench.run(Write(STREAM, b"fast"), near) is None
    assert bench.read_all(far, 4) == b"fast"
    assert bench.run(ListFiles()) == ("log",)  # another file thread
    assert not bench.has_ended(write)
    gate.open.set()
    assert bench.end(write) is None


def test_only_one_operation_of_a_kind_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = bench.run(Open("log", "w"))
    gate = Gate(monkeypatch, "pwrite")
    first = bench.begin(Write(STREAM, b"1"), handle)
    assert gate.entered.wait(10)
    sync = bench.begin(Sync(STREAM), handle)
    assert bench.run(Write(STREAM, b"2"), handle) == Busy()
    assert bench.run(Sync(STREAM), handle) == Busy()
    gate.open.set()
    assert bench.end(first) is None
    assert bench.end(sync) is None


def test_a_release_lets_the_write_under_way_end_drops_the_rest_and_closes(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.run(Open("log", "w"))
    gate = Gate(monkeypatch, "pwrite")
    write = bench.begin(Write(STREAM, b"written"), handle)
    truncate = bench.begin(Truncate(STREAM, 0), handle)
    assert gate.entered.wait(10)
    bench.submit(IoRelease(handle))
    assert open_files(bench) == 1  # its descriptor is still in use
    gate.open.set()
    settle(bench, lambda: open_files(bench) == 0)
    assert (data / "log").read_bytes() == b"written"
    assert not bench.has_ended(write)
    assert not bench.has_ended(truncate)


def test_an_operation_cancelled_before_its_turn_never_happens(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.run(Open("log", "w"))
    gate = Gate(monkeypatch, "pwrite")
    write = bench.begin(Write(STREAM, b"kept"), handle)
    truncate = bench.begin(Truncate(STREAM, 0), handle)
    assert gate.entered.wait(10)
    bench.submit(IoCancel(truncate))
    gate.open.set()
    assert bench.end(write) is None
    assert bench.run(Close(STREAM), handle) is None
    assert (data / "log").read_bytes() == b"kept"


def test_a_close_nobody_waits_for_any_more_closes_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = bench.run(Open("log", "w"))
    gate = Gate(monkeypatch, "pwrite")
    bench.begin(Write(STREAM, b"slow"), handle)
    closing = bench.begin(Close(STREAM), handle)
    assert gate.entered.wait(10)
    bench.submit(IoCancel(closing))
    bench.submit(IoRelease(handle))
    gate.open.set()
    settle(bench, lambda: open_files(bench) == 0)
    assert not bench.has_ended(closing)


def test_an_open_cancelled_under_way_is_closed_and_gives_its_place_back(
    benches: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches(EdgeLimits(streams=1))
    entered, go_on = threading.Event(), threading.Event()
    real = os.fstat

    def held(fd: int) -> os.stat_result:
        entered.set()
        assert go_on.wait(10)
        return real(fd)

    descriptors = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", held)
        opening = bench.begin(Open("log", "a"))
        assert entered.wait(10)
        bench.submit(IoCancel(opening))
        assert open_files(bench) == 1
        go_on.set()
        settle(bench, lambda: open_files(bench) == 0)
    assert not bench.has_ended(opening)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert isinstance(bench.run(Open("log", "a")), int)


def test_the_queue_of_renames_removes_and_lists_is_bounded(benches: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(EdgeLimits(file_threads=1, file_queue=2))
    bench.write_file("log", b"")
    gate = Gate(monkeypatch, "scandir")
    waiting = [bench.begin(ListFiles()), bench.begin(ListFiles())]
    assert gate.entered.wait(10)
    assert bench.run(Remove("log")) == Busy()
    bench.submit(IoCancel(waiting[1]))
    removal = bench.begin(Remove("log"))
    gate.open.set()
    assert bench.end(waiting[0]) == ("log",)
    assert bench.end(removal) is None
    assert not bench.has_ended(waiting[1])


def test_closing_the_edge_waits_for_the_write_under_way(benches: MakeBench, data: Path) -> None:
    bench = benches()
    handle = bench.run(Open("log", "a"))
    descriptors = len(os.listdir("/proc/self/fd"))
    bench.begin(Write(STREAM, b"x" * 5_000_000), handle)
    assert isinstance(bench.port, Edge)
    bench.port.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 2  # the file and the wake-up
    assert (data / "log").stat().st_size == 5_000_000
    benches.made.clear()  # type: ignore[attr-defined]
    bench.poller.close()  # type: ignore[attr-defined]


def test_a_mistake_of_ours_on_a_file_thread_is_an_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*arguments: object) -> bytes:
        raise MemoryError

    def broken(*arguments: object) -> bytes:
        raise ValueError("odd")

    bench.write_file("log", b"x")
    handle = bench.run(Open("log", "r"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", out_of_memory)
        assert bench.run(Read(STREAM), handle) == OsError("ENOMEM", "read 'log': out of memory")
        patch.setattr(os, "pread", broken)
        assert bench.run(Read(STREAM), handle) == OsError("EIO", "read 'log': ValueError: odd")
    assert bench.run(Read(STREAM), handle) == b"x"


# Paths


def test_folders_and_files_are_the_owners_only(bench: Bench, data: Path) -> None:
    bench.write_file("a/log", b"")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "a", data / "a/log")] == [0o700, 0o700, 0o600]


def test_no_symbolic_link_is_followed(bench: Bench, data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    bench.write_file("inside", b"")
    (data / "file").symlink_to(outside / "secret")
    (data / "folder").symlink_to(outside)
    (data / "nowhere").symlink_to(outside / "new")
    for wait in (
        Open("file", "r"),
        Open("file", "w"),
        Open("folder/secret", "r"),
        Open("folder/new", "a"),
        Open("nowhere", "a"),
        Remove("folder/secret"),
        Rename("inside", "folder/inside"),
        Rename("folder/secret", "secret"),
        ListFiles("folder"),
    ):
        refused = bench.run(wait)
        assert isinstance(refused, OsError), wait
        assert refused.name == "EACCES", wait
        assert "symbolic link" in refused.text, wait
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert bench.run(ListFiles()) == ("inside",)
    assert bench.run(Remove("file")) is None  # the link itself may go
    assert (outside / "secret").exists()


@pytest.mark.parametrize(
    ("path", "name", "text"),
    [
        ("", "EINVAL", "names no file"),
        ("folder/", "EINVAL", "names no file"),
        ("a\0b", "EINVAL", "without NUL"),
        ("\ud800", "EINVAL", "does not encode"),
        ("folder", "EISDIR", "a folder"),
        ("file/below", "ENOTDIR", "Not a directory"),
        ("x" * 300, "ENAMETOOLONG", "too long"),
        ("pipe", "EINVAL", "not a regular file"),
    ],
)
def test_what_is_no_file_is_refused_by_name(bench: Bench, data: Path, path: str, name: str, text: str) -> None:
    bench.write_file("folder/file", b"")
    bench.write_file("file", b"")
    os.mkfifo(data / "pipe")
    refused = bench.run(Open(path, "r"))
    assert isinstance(refused, OsError)
    assert refused.name == name
    assert text in refused.text
    refused.text.encode()  # reasons travel


def test_dots_and_double_slashes_are_the_same_place(bench: Bench) -> None:
    bench.write_file("./a//log", b"x")
    assert bench.file_content("a/./log") == b"x"


def test_a_folder_the_operator_named_is_served_by_absolute_path(benches: MakeBench, data: Path, tmp_path: Path) -> None:
    named = tmp_path / "var" / "kv"
    bench = benches(other_folders=(named,))
    bench.write_file(f"{named}/log", b"x")
    assert (named / "log").read_bytes() == b"x"
    assert stat.S_IMODE(named.stat().st_mode) == 0o700
    assert bench.run(ListFiles(str(named))) == ("log",)
    assert bench.run(Rename(f"{named}/log", "log")) is None
    assert bench.file_content(str(data / "log")) == b"x"
    for path in (f"{named}er/log", str(tmp_path / "log"), f"{named}/../log", "/"):
        assert bench.run(Open(path, "w")).name == "EACCES"
    (named / "link").symlink_to(tmp_path)
    assert bench.run(Open(f"{named}/link/log", "w")).name == "EACCES"
