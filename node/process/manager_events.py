"""What a manager is told and what it answers: the vocabulary of `manager_state.ManagerState.decide` [pure].

Events carry the life they are about; one of an older life changes nothing. Actions are carried out in order, by
`manager.py` on real processes and by `node/simulation` on simulated ones.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from regrove.node.cluster.views import Groups, Shared
from regrove.node.core.ports import DrainCore, NamesChanged, PeerCore, PeerGone, StopCore
from regrove.records import dataclass, field


@dataclass(frozen=True, slots=True)
class Begin:
    """The node boots: every core is spawned."""


@dataclass(frozen=True, slots=True)
class CoreBound:
    """A core process runs and its data sockets are bound; its tree waits for `Go`. `remote`: its tcp endpoint."""

    core: int
    incarnation: int
    endpoint: str
    remote: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class CoreStarted:
    """The core's whole tree has started."""

    core: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class CoreReported:
    """The core says why it is about to end. `kind`: what it was.

    `stopped`: asked to and done · `escalated`: its root supervisor gave up (level 2) · `refused`: the application
    cannot be loaded or is invalid, so that another try with the same files is the same · `failed`: anything else.
    """

    core: int
    incarnation: int
    kind: Literal["stopped", "escalated", "refused", "failed"]
    text: str


@dataclass(frozen=True, slots=True)
class CoreEnded:
    """The process of a core is gone; `how` is a text such as `killed by SIGKILL` or `exited with status 3`.

    `at` is where it stood when it was killed after a look.
    """

    core: int
    incarnation: int
    how: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class CoreNamed:
    """The core's names and group members, the whole lists."""

    core: int
    incarnation: int
    names: tuple[str, ...]
    groups: Groups = ()


@dataclass(frozen=True, slots=True)
class CoreOutgrew:
    """The core's process holds `resident` bytes, more than the operator's `limit`."""

    core: int
    incarnation: int
    resident: int
    limit: int


@dataclass(frozen=True, slots=True)
class CoreSlow:
    """The watchdog saw one handler hold the core for `held` ns; `at` is where it stands, `stack` all of it.

    `path` is that of the isolate, empty when it could not be seen.
    """

    core: int
    incarnation: int
    held: int
    at: str
    stack: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class CoreStalled:
    """The core stands still: for so long that it is shown (`fatal` False), or for `stall_kill` (True)."""

    core: int
    incarnation: int
    held: int
    at: str
    stack: str = ""
    path: str = ""
    fatal: bool = False

    @property
    def where(self) -> str:
        """The place, and whose it is as far as that could be seen."""
        return f"{self.at} of {self.path}" if self.path else self.at


@dataclass(frozen=True, slots=True)
class CoreResumed:
    """The core goes on after it was slow; `held` ns in all."""

    core: int
    incarnation: int
    held: int


@dataclass(frozen=True, slots=True)
class CoreStarved:
    """The core's thread waited for a CPU for `share` (0 to 1) of the last second; 0: it gets its CPU again."""

    core: int
    incarnation: int
    share: float


@dataclass(frozen=True, slots=True)
class CoreHalted:
    """The core's process is stopped (state T), or goes on (`halted` False); `long`: for 30 s, by no debugger."""

    core: int
    incarnation: int
    halted: bool = True
    traced: bool = False
    long: bool = False


Trouble: TypeAlias = CoreSlow | CoreStalled | CoreResumed | CoreStarved | CoreHalted


@dataclass(frozen=True, slots=True)
class PeerTold:
    """The manager of another node said this over its control link."""

    item: Shared


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The control link to that life of a node is gone."""

    node: str
    incarnation: int
    why: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Leave within the drain limit; `now`: end at once. `why` is a text such as `SIGTERM`."""

    why: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class ZygoteUp:
    """The zygote has imported the application. Texts name what that left: threads, and what no fork survives."""

    threads: tuple[str, ...] = ()
    unforkable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ZygoteRefused:
    """The zygote cannot import the application; `ZygoteEnded` follows."""

    text: str


@dataclass(frozen=True, slots=True)
class ZygoteEnded:
    """The zygote's process is gone."""

    how: str


@dataclass(frozen=True, slots=True)
class ZygoteAnswered:
    """A zygote that had been silent answered."""


@dataclass(frozen=True, slots=True)
class ZygoteSilent:
    """The zygote did not answer when a process was to be forked ahead."""

    why: str


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """The zygote did not fork this life of a core; `silent`: it did not answer at all."""

    core: int
    incarnation: int
    why: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """Take no new work from outside; `leave`: when nothing is left, or half the drain limit is over, stop."""

    why: str
    leave: bool = False


@dataclass(frozen=True, slots=True)
class CoreLeft:
    """What a core that drains has left (`ports.DrainLeft`)."""

    core: int
    incarnation: int
    requests: int
    streams: int
    queued: int


@dataclass(frozen=True, slots=True)
class ReviveAsked:
    """Give the quarantined core, or all that are (None), a new life at once and a clean sheet."""

    core: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """`deadline()` has come."""


Event: TypeAlias = (
    Begin
    | CoreBound
    | CoreStarted
    | CoreReported
    | CoreEnded
    | CoreNamed
    | CoreOutgrew
    | Trouble
    | PeerTold
    | PeerLost
    | StopAsked
    | ZygoteUp
    | ZygoteRefused
    | ZygoteEnded
    | ZygoteAnswered
    | ZygoteSilent
    | ForkFailed
    | ReviveAsked
    | DrainAsked
    | CoreLeft
    | Tick
)

SpawnKind: TypeAlias = Literal["fork", "fresh"]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process for this life of a core; `CoreBound`, or `CoreEnded`, follows.

    `fork`: by the zygote, which may end in `ForkFailed` · `fresh`: a Python of its own.
    """

    core: int
    incarnation: int
    kind: SpawnKind = "fresh"


@dataclass(frozen=True, slots=True)
class SpawnZygote:
    """Start the zygote; `ZygoteUp`, `ZygoteRefused` or `ZygoteEnded` follows."""


@dataclass(frozen=True, slots=True)
class KillZygote:
    """End the zygote's process at once, or after a `look` at where it stands; `ZygoteEnded` follows."""

    look: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Hand a control input to the core."""

    core: int
    item: PeerCore | PeerGone | NamesChanged | StopCore | DrainCore


@dataclass(frozen=True, slots=True)
class Go:
    """The core knows its peers: it may start its tree once its links to the cores in `peers` are up."""

    core: int
    peers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Kill:
    """End the core's process at once (SIGKILL), or after a `look` at where it stands; `CoreEnded` follows."""

    core: int
    look: bool = False


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Give up the listening sockets kept of the core's last life: nobody takes them over."""

    core: int


@dataclass(frozen=True, slots=True)
class DivertListeners:
    """New connections go to the other cores that listen on the same ports while this one stands still, or back."""

    core: int
    away: bool


@dataclass(frozen=True, slots=True)
class Share:
    """Tell the manager of `node` (None: all linked ones)."""

    node: str | None
    item: Shared


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a control link to a manager that was heard of."""

    address: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log and the event stream; `event` is a stable word, `fields` plain values."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ready:
    """Every core has started for the first time (or is quarantined): the node is up, once a life."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The node ends with this exit code; `why` is one sentence. What still runs is killed."""

    code: int
    why: str


Action: TypeAlias = (
    Spawn
    | SpawnZygote
    | KillZygote
    | Tell
    | Go
    | Kill
    | CloseListeners
    | DivertListeners
    | Share
    | Dial
    | Note
    | Ready
    | Finish
)
