"""The simulated disk: what survives a power loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.simulation.disk import Disk, DiskError, _alike
from regrove.node.simulation.seeds import Draws, Ratio


def disk_of(seed: int = 0) -> Disk:
    return Disk("n0@h0", Draws(seed))


def append(disk: Disk, path: str, data: bytes) -> None:
    file = disk.open(path, "a")
    disk.write(file, len(file.content), data)


def test_what_was_synced_survives() -> None:
    for seed in range(50):
        disk = disk_of(seed)
        file = disk.open("log", "a")
        disk.write(file, 0, b"synced")
        disk.sync(file)
        disk.write(file, 6, b"-loose")
        disk.lose_power()
        assert bytes(disk.open("log", "r").content).startswith(b"synced")


def test_of_the_rest_a_prefix_survives_and_the_last_write_may_be_torn() -> None:
    whole = b"".join(b"%04d" % number for number in range(8))
    lengths: dict[int, None] = {}
    for seed in range(200):
        disk = disk_of(seed)
        file = disk.open("log", "a")
        disk.sync(file)
        for number in range(8):
            disk.write(file, 4 * number, b"%04d" % number)
        disk.lose_power()
        left = bytes(disk.open("log", "r").content)
        assert whole.startswith(left)
        lengths[len(left)] = None
    assert any(length % 4 for length in lengths), "no write was ever torn"
    assert 0 in lengths
    assert 32 in lengths


def test_no_write_is_torn_when_tearing_is_off() -> None:
    for seed in range(100):
        disk = disk_of(seed)
        disk.torn = Ratio(0, 1)
        file = disk.open("log", "a")
        disk.sync(file)
        for number in range(8):
            disk.write(file, 4 * number, b"%04d" % number)
        disk.lose_power()
        assert len(disk.open("log", "r").content) % 4 == 0


def test_a_new_file_that_was_never_synced_may_be_gone() -> None:
    found = []
    for seed in range(40):
        disk = disk_of(seed)
        append(disk, "fresh", b"x")
        disk.lose_power()
        found.append("fresh" in disk.files)
    assert True in found
    assert False in found


def test_the_death_of_a_core_takes_nothing_from_the_kernel() -> None:
    disk = disk_of()
    append(disk, "log", b"loose")
    assert bytes(disk.open("log", "r").content) == b"loose"


def test_a_rename_is_atomic_and_durable_at_once() -> None:
    disk = disk_of()
    for path, data in (("log", b"old"), ("log.new", b"new")):
        append(disk, path, data)
        disk.sync(disk.open(path, "a"))
    disk.rename("log.new", "log")
    disk.lose_power()
    assert bytes(disk.open("log", "r").content) == b"new"
    assert "log.new" not in disk.files


def test_a_removed_file_stays_removed() -> None:
    disk = disk_of()
    append(disk, "log", b"old")
    disk.sync(disk.open("log", "a"))
    disk.remove("log")
    disk.lose_power()
    with pytest.raises(DiskError, match="ENOENT"):
        disk.open("log", "r")


def test_a_full_disk_says_enospc_and_takes_nothing_at_the_end_of_a_file() -> None:
    disk = disk_of()
    append(disk, "log", b"before")
    disk.full = True
    with pytest.raises(DiskError, match="ENOSPC"):
        append(disk, "log", b"0123456789")
    assert bytes(disk.open("log", "r").content) == b"before"
    with pytest.raises(DiskError, match="ENOSPC"):
        disk.open("another", "w")


def test_a_full_disk_takes_a_prefix_in_the_middle_of_a_file() -> None:
    taken: dict[bytes, None] = {}
    for seed in range(30):
        disk = disk_of(seed)
        append(disk, "log", b"..........")
        file = disk.open("log", "r+")
        disk.full = True
        with pytest.raises(DiskError, match="ENOSPC"):
            disk.write(file, 0, b"0123456789")
        taken[bytes(file.content)] = None
    assert len(taken) > 3


def test_a_failed_sync_is_not_made_good_by_the_next_one() -> None:
    """As Linux does: the pages are clean after the error, so only what is written afterwards is put on the disk."""
    lost = False
    for seed in range(20):
        disk = disk_of(seed)
        file = disk.open("log", "a")
        disk.sync(file)
        disk.write(file, 0, b"first")
        disk.failing_sync = True
        with pytest.raises(DiskError, match="EIO"):
            disk.sync(file)
        disk.heal()
        disk.write(file, 5, b"second")
        disk.sync(file)
        disk.lose_power()
        left = bytes(disk.open("log", "r").content)
        assert left in (b"firstsecond", bytes(5) + b"second")
        lost = lost or left[0] == 0
    assert lost


def test_names_are_sorted_and_of_one_folder_only() -> None:
    disk = disk_of()
    for path in ("b", "a", "core-1/x", "core-0/y", "core-0/deep/z"):
        append(disk, path, b"")
    assert disk.names("") == ("a", "b")
    assert disk.names("core-0") == ("y",)
    assert disk.names("missing") == ()


@given(st.integers(0, 10_000), st.lists(st.binary(min_size=1, max_size=5), max_size=10), st.integers(0, 10))
def test_synced_bytes_are_always_a_prefix_of_what_is_left(seed: int, writes: list[bytes], synced: int) -> None:
    disk = disk_of(seed)
    file = disk.open("log", "a")
    disk.sync(file)
    for number, data in enumerate(writes):
        if number == synced:
            disk.sync(file)
        disk.write(file, len(file.content), data)
    sure = b"".join(writes[:synced]) if len(writes) > synced else b""
    disk.lose_power()
    left = bytes(disk.open("log", "r").content)
    assert b"".join(writes).startswith(left)
    assert left.startswith(sure)


def test_a_cut_that_a_power_loss_takes_back_is_told_as_more_bytes_and_not_as_some_of_them() -> None:
    told: dict[str, None] = {}
    for seed in range(50):
        disk = disk_of(seed)
        file = disk.open("log", "a")
        disk.write(file, 0, b"123456789")
        disk.sync(file)
        disk.truncate(file, 4)
        disk.lose_power()
        told |= dict.fromkeys(disk.taken)
    assert list(told) == ["the disk has 9 bytes of log, which had 4, other ones from byte 4 on"]


@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))
def test_where_two_files_part_is_found_by_halves(alike: bytes, one: bytes, other: bytes) -> None:
    first, second = bytearray(alike + one), bytearray(alike + other)
    same = _alike(first, second)
    assert first[:same] == second[:same]
    assert first[same : same + 1] != second[same : same + 1] or same == len(first) == len(second)
