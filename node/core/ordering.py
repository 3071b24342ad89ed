"""Which items of a link must stay in order beside a big message: those of one isolate to one isolate.

Asked only while big messages are under way (`transport/pieces.py`). The sender says who sends; for whom an item is,
only the receiving core knows: names, calls and monitors are its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.isolate import Cell
from regrove.transport.pieces import Held

if TYPE_CHECKING:
    from regrove.node.core.core import Core


class MailOrder:
    """The order of one core. `speaker`: for whom signals go out outside of its turn, because it has ended."""

    __slots__ = ("core", "speaker")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.speaker: Cell | None = None

    def source(self, item: tuple[Any, ...]) -> int:
        """The isolate that sends, as a number; 0 where it is no isolate's word."""
        match item[0]:
            case remote.CALL | remote.PUSH:
                debt = self.core.calls.debts.get(item[3])
                return 0 if debt is None else _number(debt.cell.address.slot, debt.cell.address.generation)
            case remote.EXIT | remote.LINK | remote.UNLINK | remote.UNLINKED | remote.PART:
                return _number(item[1], item[2])
            case remote.DOWN:
                return _number(item[2], item[3])
            case remote.RENEW | remote.WATCHED | remote.PUSHED:
                return 0
        cell = self.speaker or self.core.current
        return 0 if cell is None else _number(cell.address.slot, cell.address.generation)

    def target(self, peer: tuple[str, int, int, int], item: tuple[Any, ...], held: Held) -> Hashable:
        """The isolate of ours an item is for; None when there is none, or the item is malformed."""
        core = self.core
        match item:
            case (remote.SEND | remote.CALL | remote.PUSH, int() | str() as slot, int(generation), *_):
                return core.registry.local(slot, generation)
            case (remote.REPLY | remote.FAILED | remote.PUSHED, int(token), *_):
                debt = core.calls.debts.get(token)
                return None if debt is None else debt.cell
            case (remote.DOWN, int(reference), *_):
                return core.signals.watcher(Home._make(peer), reference)
            case (
                remote.EXIT | remote.LINK | remote.UNLINK | remote.UNLINKED | remote.PART, _, _,
                int(slot), int(generation), *_,
            ):  # fmt: skip
                return core.registry.local(slot, generation)
            case (remote.MONITOR, _, int() | str() as slot, int(generation)):
                return core.registry.local(slot, generation)
            case (remote.CANCEL_PUSH, int(token)):
                return next((at for at, other in held() if other[0] == remote.PUSH and other[3:4] == (token,)), None)
            case (remote.DEMONITOR, int(reference)):
                return next((at for at, other in held() if other[:2] == (remote.MONITOR, reference)), None)
        return None


class AnswersOnly:
    """The order of an outside program: its mail in the order it was sent, each answer by itself."""

    def source(self, item: tuple[Any, ...]) -> int:
        """One for all that the program sends."""
        del item
        return 1

    def target(self, peer: tuple[str, int, int, int], item: tuple[Any, ...], held: Held) -> Hashable:
        """The call that is answered."""
        del peer, held
        return item[1] if len(item) > 1 and isinstance(item[1], int) else None


def _number(slot: object, generation: object) -> int:
    """A number of an isolate that no other of this core has at the same time; never 0."""
    assert isinstance(slot, int)
    assert isinstance(generation, int)
    return ((generation & 0x3FFFFFFF) << 32 | (slot & 0xFFFFFFFF)) + 1
