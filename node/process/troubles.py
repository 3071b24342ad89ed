"""What the manager makes of its watchdog's verdicts [pure]: lines for people, the end of a core that stands still."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, assert_never

from regrove.node.process.budget import SECOND
from regrove.node.process.core_slot import CoreSlot
from regrove.node.process.manager_events import (
    Action,
    CoreHalted,
    CoreResumed,
    CoreSlow,
    CoreStalled,
    CoreStarved,
    DivertListeners,
    Kill,
    Note,
    Trouble,
)

PLACES_MAX: Final = 256  # slow places in the code that are told apart
REPEAT_AFTER: Final = 10 * SECOND  # between two lines about one place; what came in between is counted


class Reporter:
    """Writes about troubles without flooding: each slow place once, then at most every 10 s with a count."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, tuple[int, int]] = OrderedDict()  # place -> last line at, times since then

    def take(self, slot: CoreSlot, now: int, event: Trouble, out: list[Action]) -> None:
        """Take a verdict about the life that runs in `slot`."""
        match event:
            case CoreSlow():
                self._slow(slot, now, event, out)
            case CoreStalled():
                _stalled(slot, now, event, out)
            case CoreResumed():
                _resumed(slot, event, out)
            case CoreStarved():
                _starved(slot, event, out)
            case CoreHalted():
                _halted(slot, event, out)
            case _:
                assert_never(event)

    def _slow(self, slot: CoreSlot, now: int, event: CoreSlow, out: list[Action]) -> None:
        slot.troubles.slow += 1
        last, times = self._places.get(event.at, (None, 0))
        if last is not None and now - last < REPEAT_AFTER:
            self._places[event.at] = (last, times + 1)
            return
        if last is None and len(self._places) >= PLACES_MAX:
            self._places.popitem(last=False)
        self._places[event.at] = (now, 0)
        fields: dict[str, object] = {"core": slot.core, "where": event.at, "held_ms": event.held // 1_000_000}
        if event.path:
            fields["path"] = event.path
        if times:
            fields["times_since"] = times
        if last is None and event.stack:
            fields["stack"] = event.stack
        out.append(Note("warning", "slow handler", fields))


def _stalled(slot: CoreSlot, now: int, event: CoreStalled, out: list[Action]) -> None:
    if not slot.troubles.stalled_at:
        slot.troubles.stalled_at = event.where
        slot.troubles.stalled_since = now - event.held
        out.append(DivertListeners(slot.core, away=True))
    fields: dict[str, object] = {"core": slot.core, "where": event.at, "held_s": round(event.held / SECOND, 3)}
    if event.path:
        fields["path"] = event.path
    if not event.fatal:
        out.append(Note("warning", "core stalls", fields))
        return
    if slot.state not in ("up", "stopping"):
        return  # a start has a limit of its own
    stalled = f"stalled: no progress for {event.held / SECOND:.1f} s at {event.where}"
    slot.kill_reason = stalled if slot.kill_reason is None else f"{slot.kill_reason}; {stalled}"
    out.append(Note("error", "core stalled", fields | {"reason": slot.kill_reason, "stack": event.stack}))
    out.append(Kill(slot.core))


def _resumed(slot: CoreSlot, event: CoreResumed, out: list[Action]) -> None:
    if slot.troubles.stalled_at:
        slot.troubles.stalled_at = ""
        out.append(DivertListeners(slot.core, away=False))
        out.append(Note("info", "core goes on", {"core": slot.core, "held_s": round(event.held / SECOND, 3)}))


def _starved(slot: CoreSlot, event: CoreStarved, out: list[Action]) -> None:
    slot.troubles.starved = event.share
    if event.share > 0:
        fields: dict[str, object] = {"core": slot.core, "waited_for_cpu": f"{event.share:.0%}"}
        out.append(Note("warning", "core starves", fields))
    else:
        out.append(Note("info", "core starves no longer", {"core": slot.core}))


def _halted(slot: CoreSlot, event: CoreHalted, out: list[Action]) -> None:
    slot.troubles.halted = event.halted
    fields: dict[str, object] = {"core": slot.core}
    if not event.halted:
        out.append(Note("info", "core process goes on", fields))
    elif not event.long:
        out.append(Note("warning", "core process is stopped", fields | {"debugger": event.traced}))
    else:
        slot.kill_reason = "its process was stopped (SIGSTOP) for 30 s"
        out.append(Note("error", "core process stays stopped", fields | {"reason": slot.kill_reason}))
        out.append(Kill(slot.core))
