"""A process forked ahead: it waits for its boot frame, so that a core that ends is replaced without a fork.

There is at most one on a node, for whichever core needs it first; the next is asked for once the replacement is up and
its load is on it again. Nothing is decided here that the simulator does not decide: a spawn takes the spare when there
is one, also while the zygote is lost or silent, and is carried out as it was decided when there is none.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from regrove.node.io.poller import Poller
from regrove.node.process.birth import Birth
from regrove.node.process.children import SPARE, Child, Children
from regrove.node.process.zygote_client import ZygoteClient

AHEAD_NS: Final = 150_000_000  # from a start to the next fork ahead, which would only be in the way of the first work


class Spare:
    """The one process that waits. `on_silent(why)`: the zygote did not answer when it was asked for one."""

    __slots__ = ("_birth", "_child", "_children", "_on_silent", "_owed", "_poller", "_wanted", "_zygote")

    def __init__(
        self, children: Children, zygote: ZygoteClient, poller: Poller, on_silent: Callable[[str], None]
    ) -> None:
        self._children = children
        self._zygote = zygote
        self._poller = poller
        self._on_silent = on_silent
        self._wanted = False  # a tree has started: from then on there should be one
        self._owed = False
        self._birth: Birth | None = None  # of the one that waits, or is being forked
        self._child: Child | None = None  # until it is a core's or has been reaped

    def soon(self) -> None:
        """A tree has started: fork one ahead in a moment, unless there is one by then."""
        self._wanted = True
        if not self._owed:
            self._owed = True
            self._poller.alarm(AHEAD_NS, self._ask)

    def take(self, core: int, incarnation: int) -> tuple[Birth, Child] | None:
        """Make the process that waits this life of a core; None when there is none that lives."""
        birth, child = self._birth, self._child
        if birth is None or child is None or _has_ended(child.pidfd):
            return None
        self._birth = self._child = None
        birth.core, birth.incarnation = core, incarnation
        self._children.assign(child, core, incarnation)
        return birth, child

    def renew(self) -> None:
        """Another zygote is up, which may have imported other files: fork one ahead from that."""
        if self._wanted:
            self.discard()
            self.soon()

    def discard(self) -> None:
        """End the one that waits."""
        if self._birth is None:
            return
        self._birth.close()
        if self._child is None:
            self._zygote.forget(self._birth.request)
        else:
            self._children.kill(SPARE)
        self._birth = None

    def ended(self) -> None:
        """It was reaped: discarded, or killed by somebody."""
        self._child = None
        if self._birth is not None:
            self._birth.close()
            self._birth = None

    def _ask(self) -> None:
        self._owed = False
        if self._birth is not None or self._child is not None or not self._zygote.up:
            return
        try:
            birth = Birth(SPARE, 0)
        except OSError:
            return  # the machine has no descriptors to spare
        self._birth = birth
        birth.request = self._zygote.fork(
            "ahead",
            birth.theirs,
            lambda pid, pidfd: self._forked(birth, pid, pidfd),
            lambda why, silent: self._failed(birth, why, silent),
        )

    def _forked(self, birth: Birth, pid: int, pidfd: int) -> None:
        birth.let_go()
        self._child = self._children.adopt(SPARE, 0, pid, pidfd)

    def _failed(self, birth: Birth, why: str, silent: bool) -> None:
        birth.close()
        if self._birth is birth:
            self._birth = None
        if silent:
            self._on_silent(why)


def _has_ended(pidfd: int) -> bool:
    """Tell it before the poller does; a process that ends a moment later ends as the core it has become."""
    look = select.poll()
    look.register(pidfd, select.POLLIN)
    return bool(look.poll(0))
