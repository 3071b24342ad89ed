"""How long a core waits for the first word of its manager."""

from __future__ import annotations

import socket

from regrove.node.process import core_process
from regrove.node.process.boot import BootParameters
from regrove.node.process.configuration import NodeConfig
from regrove.node.process.framing import pack

BOOT = BootParameters(NodeConfig("demo:app", "one@here"), 0, 1, 1, 1, "ipc:///nowhere")


class Late(socket.socket):
    """The pipe of a manager that is stopped for an hour before it writes: any limit is over by then."""

    def recv(self, count: int, flags: int = 0) -> bytes:
        if self.gettimeout() is not None:
            raise TimeoutError
        return super().recv(count, flags)


def test_a_core_waits_for_its_boot_frame_as_long_as_its_manager_lives() -> None:
    manager, core = socket.socketpair()
    with manager, core, Late(fileno=core.detach()) as late:
        manager.sendall(pack(["boot", BOOT.plain()]))
        assert core_process._read_boot(late) == BOOT


def test_a_core_whose_manager_ends_before_it_wrote_waits_no_longer() -> None:
    manager, core = socket.socketpair()
    with core:
        manager.close()
        assert core_process._read_boot(core) is None
