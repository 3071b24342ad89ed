"""What goes wrong for an ordinary program, by whose end failed; each text ends with the mend.

`CallFailed` (and `CallTimeout`): the node was reached and the call failed there. `NotConnected`: the node was not
reached. `NoNode`, `NodeDidNotStart`: there is no node. `Misuse`: the calling program's own mistake.
"""

from __future__ import annotations

from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.core.reasons import (
    Busy,
    LinkFull,
    MailboxFull,
    NoReply,
    PoolExhausted,
    Timeout,
    TooLarge,
    Undecodable,
    Unreachable,
)
from regrove.supervisor.reasons import (
    CoreDown,
    Crashed,
    Killed,
    NoConnection,
    NoProcess,
    Normal,
    Shutdown,
    StartFailed,
)


class NoNode(RegroveError):
    """No local node was found, or several were and none was named."""


class NotConnected(RegroveError):
    """The node cannot be reached at `endpoint`; nothing was sent."""

    def __init__(self, endpoint: str, problem: str, mend: str) -> None:
        self.endpoint = endpoint
        self.problem = problem
        super().__init__(f"no connection to {endpoint}: {problem}; {mend}")


class NodeDidNotStart(RegroveError):
    """`regrove.start` ended before its node was up; `output` is what the node wrote."""

    def __init__(self, problem: str, output: str = "") -> None:
        self.output = output
        super().__init__(f"{problem}\n{output.rstrip()}" if output.strip() else problem)


class CallFailed(RegroveError):
    """The call of `target` failed with `reason`; `end` says whose side it was: caller, link, node or target."""

    def __init__(self, reason: object, target: object, detail: str = "") -> None:
        self.reason = reason
        self.target = target
        self.end, what, mend = explain(reason)
        super().__init__(f"{show_target(target)}: {what}{f' ({detail})' if detail else ''}; {mend}")


class CallTimeout(CallFailed):
    """No answer within `timeout` seconds; the request may have run, or may run still."""

    def __init__(self, target: object, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(Timeout(), target, f"{timeout:g} s")


class SupervisorRefused(RegroveError):
    """A supervisor answered an API request with an error (supervision.md 9); `error` is that value."""

    def __init__(self, operation: str, supervisor: object, error: object) -> None:
        self.operation = operation
        self.error = error
        super().__init__(f"{operation} at {show_target(supervisor)} was refused: {error!r}")


class ClientClosed(Misuse):
    """The cluster was used after its `with` block or `close()`."""

    def __init__(self) -> None:
        super().__init__("this cluster is closed: use it inside its `with regrove.connect(...)` block")


class UsedAfterFork(Misuse):
    """A cluster made before os.fork() was used in the child: its connections belong to the parent."""

    def __init__(self) -> None:
        super().__init__("this cluster was made by the parent process: call regrove.connect(...) again in the child")


def show_target(target: object) -> str:
    """Name a target for people: its name with the pins, or its address."""
    name = getattr(target, "name", target)
    pins = [f"{pin}={value}" for pin in ("node", "core") if (value := getattr(target, pin, None)) is not None]
    if isinstance(name, str) and hasattr(target, "_fields"):
        return f"{name!r}" + (f" ({', '.join(pins)})" if pins else "")
    return repr(target)


def explain(reason: object) -> tuple[str, str, str]:
    """Say of a reason: whose end failed (caller, link, node, target), what happened, and the mend."""
    for kind, end, what, mend in _TABLE:
        if isinstance(reason, kind):
            return end, what.format(reason=reason, show=show_reason(reason)), mend
    return "target", f"it ended while it had the request, with {show_reason(reason)}", _MAY_HAVE_RUN


def show_reason(reason: object) -> str:
    """A reason in one line for people, without the fields that say nothing."""
    match reason:
        case Crashed(type=kind, text=text, site=site):
            return f"{kind}{f': {text}' if text else ''}{f' at {site}' if site else ''}"
        case Shutdown(detail=None):
            return "an orderly stop"
        case Shutdown(detail=detail):
            return f"an orderly stop because of {show_reason(detail)}"
        case CoreDown(detail=None):
            return "its core went down"
        case CoreDown(detail=detail):
            return f"its core went down: {show_reason(detail)}"
        case StartFailed(id=child, reason=cause):
            return f"{child} did not start: {show_reason(cause)}"
        case str():
            return reason
        case _:
            return repr(reason)


_MAY_HAVE_RUN = "it may have run: ask before you repeat what must not happen twice"
_LATER = "try again later, or send less"
_TABLE: tuple[tuple[type, str, str, str], ...] = (
    (Timeout, "target", "no answer in time", f"{_MAY_HAVE_RUN}; give a longer timeout, or see `regrove tree`"),
    (NoReply, "target", "it handled the request and gave no answer", "return Reply(value) from its handler"),
    (NoProcess, "target", "nobody answers to that", "check the name in `regrove tree`, or look the address up again"),
    (MailboxFull, "target", "its mailbox is full, nothing was queued", _LATER),
    (PoolExhausted, "node", "its core's message pool is full, nothing was queued", _LATER),
    (LinkFull, "link", "the link to its core has no credit left, nothing was sent", _LATER),
    (TooLarge, "caller", "the message is larger than the node takes", "send it in parts, or raise message_bytes"),
    (Unreachable, "link", "its core cannot be reached, nothing was sent", "see `regrove status` of that node"),
    (NoConnection, "link", "the connection was lost while the call was under way", _MAY_HAVE_RUN),
    (Busy, "target", "its queue of requests is full, nothing was queued", "try again later"),
    (
        Undecodable,
        "node",
        "the node cannot read the message: {show}",
        "run one version of the application on both ends",
    ),
    (Crashed, "target", "it crashed while it had the request: {show}", _MAY_HAVE_RUN),
    (Killed, "target", "it was killed while it had the request", _MAY_HAVE_RUN),
    (CoreDown, "node", "{show}", _MAY_HAVE_RUN),
    (Normal, "target", "it ended before it answered", "look the name up again"),
    (Shutdown, "target", "it ended before it answered: {show}", "wait until it runs again"),
)
