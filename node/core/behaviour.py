"""What the user writes of an isolate. Never compiled: an interpreted class cannot extend a compiled one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from regrove.node.core.effects import DONE, RECEIVE, Effect
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.context import Context


class Isolate:
    """A unit of work with a mailbox, one handler at a time. `__init__` takes the child spec's arguments at every start.

    `mailbox_capacity` is the number of messages that wait before `send` answers MAILBOX_FULL; `trap_exits` turns
    exit signals of linked isolates into `Exit` messages (OTP `trap_exit`).
    """

    mailbox_capacity: ClassVar[int] = 256
    trap_exits: ClassVar[bool] = False

    def start(self, ctx: Context) -> Effect:
        """Run once before the first message."""
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        """Handle one message or outcome; exactly one effect is returned."""
        raise NotImplementedError(f"{type(self).__qualname__}.handle(self, ctx, message) is missing")

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        """Asked to stop: clean up, or go on working until the shutdown limit."""
        return DONE
