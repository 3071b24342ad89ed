"""Which memory a process that waits makes its own: private, writable, in use, and not more than a limit."""

from __future__ import annotations

from regrove.node.process.own_pages import Area, areas, worth_owning

SMAPS = """\
00010000-00014000 r-xp 00000000 fe:00 12                 /usr/bin/python3
Size:                 16 kB
Anonymous:             0 kB
00020000-00024000 rw-p 00000000 00:00 0                  [heap]
Size:                 16 kB
Anonymous:            12 kB
VmFlags: rd wr mr mw me ac
00030000-00038000 rw-s 00000000 00:01 7                  /memfd:shared (deleted)
Anonymous:            32 kB
00040000-00048000 rw-p 00000000 00:00 0
Anonymous:            16 kB
"""
HEAP = Area(0x20000, 0x4000, 12 * 1024)


def test_only_private_writable_mappings_are_found() -> None:
    assert list(areas(SMAPS)) == [HEAP, Area(0x40000, 0x8000, 16 * 1024)]


def test_a_mapping_of_which_no_more_than_half_is_in_use_stays_as_it_is() -> None:
    assert worth_owning(areas(SMAPS)) == [HEAP]


def test_small_mappings_come_first_and_none_beyond_the_limit() -> None:
    small, middle, large = (Area(0, size, size) for size in (10, 20, 40))
    assert worth_owning(iter([large, middle, small]), limit=50) == [small, middle]
