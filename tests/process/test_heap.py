"""The allocator's options are taken where there are any: a wrong number or a wrong name would be refused."""

from __future__ import annotations

import platform

from regrove.node.process.heap import keep_heap


def test_glibc_takes_every_option() -> None:
    assert keep_heap() == (platform.libc_ver()[0] == "glibc")
