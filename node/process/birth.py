"""The sockets between a manager and a process it is about to start for a core: a pipe of bytes, and hands."""

from __future__ import annotations

import socket

from regrove.node.process.descriptors import pair


class Birth:
    """Our ends of a life that is being started, and theirs until the process has them. Raises OSError."""

    __slots__ = ("_theirs", "core", "hands", "incarnation", "pipe", "request")

    def __init__(self, core: int, incarnation: int) -> None:
        self.core = core
        self.incarnation = incarnation
        self.request = 0  # of the zygote, while one is under way
        self.pipe, their_pipe = socket.socketpair()
        try:
            self.hands, their_hands = pair()
        except OSError:
            self.pipe.close()
            their_pipe.close()
            raise
        self._theirs = (their_pipe, their_hands)

    @property
    def theirs(self) -> list[int]:
        """Descriptors for the process, in the order it takes them."""
        return [end.fileno() for end in self._theirs]

    def let_go(self) -> None:
        """The process has its ends."""
        for end in self._theirs:
            end.close()

    def close(self) -> None:
        """There will be no such process, or nothing for it to do: it reads the end of its pipe and leaves."""
        self.let_go()
        self.pipe.close()
        self.hands.close()
