"""One core on a virtual clock, without links: what the tests of node/core drive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regrove import DONE, RECEIVE, Child, Supervisor
from regrove.node.core.address import Address, Home
from regrove.node.core.bounds import Bounds
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.isolate import Cell, Isolate
from regrove.node.core.ports import ControlInput, ControlOutput, Inputs, IoCommand, IoDone, Outputs
from regrove.node.core.trace import Tracer
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.simulated import SimulatedNetwork, SimulatedTransport

SECOND = 1_000_000_000


def no_links(home: Home) -> LinkTable:
    """The link table of a core that has no peers."""
    transport = SimulatedTransport(SimulatedNetwork(), "alone")
    return LinkTable(transport, Identity("bench", home), lambda kind, ordinal: 0)


class Log:
    """Records what is logged as (event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **fields: Any) -> Log:
        return self

    def _line(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    debug = info = warning = error = _line


class Events:
    """A tracer that keeps all it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def _keep(self, now: int, cell: Any, *rest: Any) -> int:
        self.lines.append((now, cell.path, cell.incarnation, *map(str, rest)))
        return len(self.lines)

    event = handle = callback = start = _keep

    def frame(self, now: int, peer: Any, items: Any) -> int:
        raise AssertionError("there are no links")


class Bench:
    """A core with `children` under a root supervisor, or with the given tree, started and idle."""

    def __init__(
        self,
        *children: Child | Supervisor | Any,
        tree: Supervisor | None = None,
        bounds: Bounds | None = None,
        strict: bool = False,
        tracer: Tracer | None = None,
        **root: Any,
    ) -> None:
        self.log = Log()
        self.now = 1 * SECOND
        self.io: list[IoCommand] = []
        self.control: list[ControlOutput] = []
        settings = CoreSettings(Home("n@h", 1, 0, 1), bounds=bounds or Bounds(), strict=strict)
        links = no_links(settings.home)
        self.core = Core(settings, tree or Supervisor("root", children, **root), links, self.log, tracer)
        self.core.boot()
        self.settle()

    def step(self, io: list[IoDone] | None = None, control: list[ControlInput] | None = None) -> Outputs:
        self.core.step(self.now, Inputs(control or [], io or [], wall=self.now))
        self.now += 5_000
        outputs = self.core.finish(self.now)
        self.io += outputs.io
        self.control += outputs.control
        return outputs

    def settle(self, io: list[IoDone] | None = None, control: list[ControlInput] | None = None) -> None:
        """Run passes until the core would sleep."""
        outputs = self.step(io, control)
        passes = 0
        while outputs.busy:
            outputs = self.step()
            passes += 1
            assert passes < 10_000, "the core never comes to rest"

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, firing what is due in order."""
        end = self.now + int(seconds * SECOND)
        while True:
            due = self.core.timers.next()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.settle()
        self.now = end
        self.settle()

    def cell(self, path: str) -> Cell:
        """The live cell at a path."""
        for cell in self.core.cells:
            if cell is not None and cell.path == path:
                return cell
        raise AssertionError(f"no isolate at {path}")

    def alive(self, path: str) -> bool:
        return any(cell is not None and cell.path == path for cell in self.core.cells)

    def isolate(self, path: str) -> Any:
        return self.cell(path).isolate

    def address(self, path: str) -> Address:
        return self.cell(path).address

    def tell(self, path: str, message: Any) -> Any:
        """Send as from a sibling, and let the core come to rest."""
        sent = self.core.inject(self.address(path), message)
        self.settle()
        return sent


class Script(Isolate):
    """Does what the function under the message's name says, and records everything else in `log`."""

    def __init__(self, log: list[Any], steps: dict[str, Callable[..., Any]]) -> None:
        self.log = log
        self.steps = steps
        self.kept: Any = None  # whatever a step wants to remember

    def _do(self, name: str, ctx: Any, argument: Any) -> Any:
        step = self.steps.get(name)
        if step is None:
            self.log.append(argument)
            return RECEIVE
        effect = step(self, ctx, argument)
        return RECEIVE if effect is None else effect

    def start(self, ctx: Any) -> Any:
        return self._do("start", ctx, "start") if "start" in self.steps else RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        return self._do(message if isinstance(message, str) else type(message).__name__, ctx, message)

    def stop(self, ctx: Any, reason: Any) -> Any:
        return self._do("stop", ctx, reason) if "stop" in self.steps else DONE

    def then(self, ctx: Any, outcome: Any) -> Any:
        return self._do("then", ctx, outcome)


def script(log: list[Any] | None = None, **steps: Callable[..., Any]) -> Callable[[], Script]:
    """A factory of `Script`: `script(log, go=lambda self, ctx, message: Call("b", "x"))`. None means RECEIVE."""
    record: list[Any] = [] if log is None else log
    return lambda: Script(record, steps)
