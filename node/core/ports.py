"""What a core asks of its driver: the seam between the pure core and the world (real or simulated).

Data flow of one pass: `core.step(now, inputs)` -> handlers run, effects are interpreted -> `core.finish(now)` stamps
and arms what was asked for, flushes the links and returns `Outputs`. The driver then serves `Outputs.io`, delivers
`Outputs.control` to the manager, and sleeps until an input or `Outputs.deadline`.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from regrove.node.core.effects import IoWait
from regrove.records import dataclass, field
from regrove.supervisor.reasons import Reason


@dataclass(slots=True)  # made once an operation: frozen would cost more than the rest of its making
class IoRequest:
    """Serve `wait`; exactly one `IoDone` with this token comes back, unless it was cancelled first.

    `handle` is the stream's or listener's number for Accept, Read, Write, Close, Sync and Truncate, else 0. Tokens and
    handles are never reused in one life of a core, so a completion can never reach another request.
    """

    token: int
    wait: IoWait
    handle: int = 0


@dataclass(frozen=True, slots=True)
class IoCancel:
    """Nobody waits for `token` any more: undo it where possible, answer nothing. A cancelled Read takes no bytes.

    What a cancelled Accept, Connect, Listen or Open would have opened is closed.
    """

    token: int


@dataclass(frozen=True, slots=True)
class IoRelease:
    """The owner of `handle` is gone: close it without an answer."""

    handle: int


IoCommand: TypeAlias = IoRequest | IoCancel | IoRelease


@dataclass(slots=True)  # made once an operation: frozen would cost more than the rest of its making
class IoDone:
    """The end of an IoRequest.

    `result` is a `Reason` when it failed, else: Listen -> (handle, host, port) · Accept -> (handle, "host:port") ·
    Connect, Open -> handle · Read -> bytes · Offload -> the value · ListFiles -> tuple of names · all others -> None.
    """

    token: int
    result: object


class IoPort(Protocol):
    """The edge of one core: `node/io` for real, `node/simulation/edge` in a simulated world."""

    def submit(self, commands: list[IoCommand]) -> None:
        """Begin what the pass asked for. Never blocks, never raises for a refusal: that is an IoDone."""

    def collect(self) -> list[IoDone]:
        """Take what has ended since the last call, in order."""


@dataclass(frozen=True, slots=True)
class PeerCore:
    """Control input: a core of this or another node lives at `endpoint` (an older life of it is over)."""

    home: tuple[str, int, int, int]
    endpoint: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class PeerGone:
    """Control input: that life of a core is over. Its links end, monitors fire, calls fail with `reason`."""

    home: tuple[str, int, int, int]
    reason: Reason


@dataclass(frozen=True, slots=True)
class NamesChanged:
    """Control input and output: `core` of `node` now holds `names` (the whole list of that core) and group members."""

    node: str
    core: int
    names: tuple[str, ...]
    groups: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class StopCore:
    """Control input: stop the tree in order within `limit` seconds, then `Stopped` is reported. None: no limit."""

    limit: float | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class DrainCore:
    """Control input: take no new work from outside from now on; `DrainLeft` follows until nothing is left."""


@dataclass(frozen=True, slots=True)
class AskTree:
    """Control input: answer with `TreeReport(request, rows)`."""

    request: int


@dataclass(frozen=True, slots=True)
class Started:
    """Control output: the whole tree has started."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Control output: the root supervisor ended with `reason`; `asked` tells an ordered stop from an escalation.

    Not asked = level 2: the manager replaces the core within its budget, else quarantines it.
    """

    reason: Reason
    asked: bool


@dataclass(frozen=True, slots=True)
class DrainLeft:
    """Control output of a core that drains: requests from outside without an answer, open tcp streams, queued mail."""

    requests: int = 0
    streams: int = 0
    queued: int = 0


@dataclass(frozen=True, slots=True)
class TreeReport:
    """Control output: one row for each isolate and supervisor, in tree order (plain dicts, see docs/shapes.md)."""

    request: int
    rows: tuple[dict[str, object], ...]


ControlInput: TypeAlias = PeerCore | PeerGone | NamesChanged | StopCore | DrainCore | AskTree
ControlOutput: TypeAlias = NamesChanged | Started | Stopped | DrainLeft | TreeReport


@dataclass(slots=True)
class Inputs:
    """What a pass begins with, beside the frames that the link table drains itself."""

    control: list[ControlInput] = field(default_factory=list)
    io: list[IoDone] = field(default_factory=list)
    wall: int = 0  # ns since the epoch, for ctx.wall_time() only


@dataclass(slots=True)
class Outputs:
    """What a pass ends with. `deadline` (ns of the driver's clock) or None; `busy`: pass again without sleeping."""

    io: list[IoCommand]
    control: list[ControlOutput]
    deadline: int | None
    busy: bool
