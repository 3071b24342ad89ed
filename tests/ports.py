"""Free ports for servers of tests: not of those that the system gives to connections meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket


def free_ports(count: int) -> int:
    """The first of so many free ports in a row. Each process looks from a place of its own."""
    start = 20_000 + os.getpid() % 1_000 * 10
    for low in range(start, 32_000):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(low, low + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return low
    raise AssertionError(f"no {count} free ports from {start} on")


def free_port() -> int:
    """One free port."""
    return free_ports(1)
