"""Seeds of an application without pytest: what `regrove sim` runs, in each of its worker processes."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.application import Place
from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.process.loading import load_application
from regrove.node.simulation import faults as f
from regrove.node.simulation.attempts import is_skip
from regrove.node.simulation.campaign import ATTRIBUTE
from regrove.node.simulation.cases import FOLDER, Case
from regrove.node.simulation.failing import ENDS, FIRED, Failing, run_once
from regrove.node.simulation.faults import Faults, Kind
from regrove.node.simulation.orders import Explored, add_up, judge_under
from regrove.node.simulation.searching import faults_under
from regrove.node.simulation.simulation import Simulation
from regrove.node.simulation.violation import origin, violated

if TYPE_CHECKING:
    from regrove.node.simulation.auditing.findings import Verdict

PRINTED: Final = 20  # lines of what a check printed that are told
STATE: Final = Path(".regrove/sim")
SPOKEN: Final = ("check", "nodes", "cores", "faults", "profile", "span", "search")  # options of the same names

WORDS: Final[dict[str, Callable[[], Kind | tuple[Kind, ...]]]] = {
    "cut": f.cut,
    "swizzle": f.swizzle,
    "loss": f.loss,
    "reset": f.reset,
    "delay": f.delay,
    "clog": f.clog,
    "in-flight": f.in_flight,
    "frame-limit": f.frame_limit,
    "pause": f.pause,
    "pause-node": lambda: f.pause(on="node"),
    "slow": f.slow,
    "crash": f.crash,
    "crash-node": lambda: f.crash(on="node"),
    "crash-machine": lambda: f.crash(on="machine"),
    "crash-manager": lambda: f.crash(on="manager"),
    "crash-isolate": lambda: f.crash(on="isolate"),
    "restart": f.restart,
    "memory": f.memory,
    "drift": f.drift,
    "clock-step": f.clock_step,
    "start-fails": f.start_fails,
    "streams": f.streams,
    "offload": f.offload,
    "disk": f.disk,
    "spike": f.spike,
    "duplicate": f.duplicate,
    "reorder": f.reorder,
}
USUAL: Final = (
    "cut,swizzle,loss,reset,delay,pause,pause-node,slow,crash,crash-node,crash-machine,crash-isolate,disk,spike"
)


def kinds_of(words: str) -> Faults:
    """Read `cut,pause,crash-node` as a swarm of these kinds; `none` is no faults. Raises Misuse with what there is."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    if names == ["none"]:
        return None
    if not names:
        raise Misuse(f"there are no kinds of faults in {words!r}; there are {', '.join(WORDS)}, or none")
    for name in names:
        if name not in WORDS:
            raise Misuse(f"there is no kind of fault {name!r}{_nearest(name)}; there are {', '.join(WORDS)}, or none")
    return f.swarm(*(WORDS[name]() for name in names))


def _nearest(name: str) -> str:
    near = get_close_matches(name, WORDS, 1)
    return f", did you mean {near[0]}?" if near else ""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: an application by reference, what is checked, and under which faults. All of it is text."""

    app: str
    check: str = ""  # `module:function`, called with the simulation; "": runs, calms down, and must be up again
    nodes: int = 3
    cores: int = 1
    faults: str = USUAL
    profile: str = "faithful"
    span: str = "30s"
    settings: tuple[tuple[str, str], ...] = ()
    search: str = ""
    shrink_s: float = 20.0
    folder: str = FOLDER
    audit: int = 0  # 1 in so many seeds is audited in other processes; 0: none

    @property
    def test(self) -> str:
        """How a case file names it."""
        return f"{self.app} {self.check}".strip()

    @property
    def state(self) -> Path:
        """Where it is kept which seed comes next."""
        what = (self.app, self.check, self.nodes, self.cores, self.faults, self.profile, self.span, self.settings)
        text = repr((*what, self.search) if self.search else what)
        return STATE / f"{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}.json"

    def world(self, seed: int, faults: Faults) -> Simulation:
        """Make the world of one seed."""
        return Simulation(
            load_application(self.app), self.nodes, self.cores, seed, faults, self.profile, dict(self.settings)
        )

    def build(self) -> None:
        """Build the tree as the first core will. Raises Misuse when the application refuses the settings."""
        application = load_application(self.app)
        try:
            application.build(Place("n0@sim", 0, self.cores, "", dict(self.settings)))
        except Exception as error:
            told = str(error) if isinstance(error, RegroveError) else violated(error)
            raise Misuse(f"the tree of {self.app} cannot be built with these settings: {told}") from None

    def scenario(self) -> Callable[[Simulation], object]:
        """What is done to each world. Raises Misuse when `check` names nothing that can be called."""
        if not self.check:
            return self._survives
        load_application(self.app)  # its folder is where the check is looked for
        module, _, name = self.check.rpartition(":")
        try:
            found = getattr(importlib.import_module(module), name) if module else None
        except (ImportError, AttributeError) as error:
            raise Misuse(f"--check {self.check!r}: {error}") from None
        if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found):
            raise Misuse(f"--check {self.check!r} is a coroutine or generator, which would never run: write a function")
        if not callable(found):
            raise Misuse(f"--check {self.check!r}: write MODULE:FUNCTION, a function that takes the simulation")
        if hasattr(found, ATTRIBUTE):
            file = os.path.relpath(sys.modules[found.__module__].__file__ or module)
            raise Misuse(
                f"--check {self.check!r}: that is a pytest test: run pytest {file}::{name}, or give a plain function "
                "that takes sim"
            )
        try:
            inspect.signature(found).bind(None)
        except TypeError as error:
            raise Misuse(f"--check {self.check!r} is called with the simulation alone: {error}") from None
        return _returning(found)

    def _survives(self, sim: Simulation) -> None:
        sim.run(self.span)
        sim.calm(keep="all")
        sim.eventually("every node is ready again", lambda world: all(node.ready for node in world.nodes), "120s")

    def run(
        self, seed: int, faults: Faults, shrink_s: float | None = None, search: str = "", case: Case | None = None
    ) -> tuple[Simulation, Explored | None]:
        """Run one seed under a strategy; a failure is shrunk, kept as a case and raised with its story.

        `case` is the one that is run again, when there is one.
        """
        campaign = hashlib.blake2b(repr((self.faults, self.search)).encode(), digest_size=6).hexdigest()
        case = case or Case(
            self.test, seed, (), self.profile, self.nodes, self.cores, settings=self.settings,
            span="" if self.check else self.span, campaign=campaign,
        )  # fmt: skip
        how = Failing(self.shrink_s if shrink_s is None else shrink_s, Path(self.folder), quiet=unheard)
        return judge_under(
            search,
            lambda given: self.world(seed, given),
            self.scenario(),
            faults,
            case,
            how,
            self.command,
        )

    def command(self, case: Path | None, seed: int) -> str:
        """How a case file of it, or without one a seed, is run again."""
        if case is not None:
            return f"regrove sim replay {shlex.quote(str(case))}"
        usual = Search(self.app)
        given = [f"--{name}={getattr(self, name)}" for name in SPOKEN if getattr(self, name) != getattr(usual, name)]
        given += [f"--set={key}={value}" for key, value in self.settings]
        return " ".join(["regrove sim run", *map(shlex.quote, [self.app, f"--seeds={seed}-{seed}", *given])])


def _returning(check: Callable[[Simulation], object]) -> Callable[[Simulation], object]:
    """A check after which the working folder is the one that it was: cases and progress are kept in there."""

    def returning(sim: Simulation) -> object:
        here = os.getcwd()
        try:
            return check(sim)
        finally:
            os.chdir(here)

    return returning


@dataclass(slots=True)
class Found:
    """What some seeds showed; `failed` are (seed, story)."""

    seeds: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    held: dict[str, bool] = field(default_factory=dict)
    failed: list[tuple[int, str]] = field(default_factory=list)
    orders: dict[str, int] = field(default_factory=dict)  # what searches over orders went through
    ran: list[range] = field(default_factory=list)
    audited: int = 0  # seeds that were the same in other processes

    def add(self, other: Found) -> None:
        """Add what other seeds showed."""
        self.seeds += other.seeds
        self.failed += other.failed
        self.ran += other.ran
        self.audited += other.audited
        add_up(self.orders, other.orders)
        for what, count in other.fired.items():
            self.fired[what] = self.fired.get(what, 0) + count
        for name, held in other.held.items():
            self.held[name] = held or self.held.get(name, False)

    def next_seed(self, first: int) -> int:
        """The first seed from `first` on that was not run: ranges end in any order."""
        for part in sorted(self.ran, key=lambda part: part.start):
            if part.start <= first:
                first = max(first, part.stop)
        return first

    @property
    def idle(self) -> list[str]:
        """Kinds that were enabled and never fired, in order."""
        return sorted(what for what, count in self.fired.items() if not count)

    @property
    def kinds_of_failures(self) -> list[list[tuple[int, str]]]:
        """The failures by what was violated at which line, numbers aside; the lowest seeds first."""
        kinds: dict[str, list[tuple[int, str]]] = {}
        for seed, story in sorted(self.failed):
            kinds.setdefault(_what_failed(story), []).append((seed, story))
        return list(kinds.values())

    @property
    def unseen(self) -> list[str]:
        """States that were never reached."""
        return [name for name, held in self.held.items() if not held]


def text_of(error: BaseException) -> str:
    """What is told of a failure: its story, which says what was violated; its own text where it has none."""
    return "\n".join(getattr(error, "__notes__", ())) or violated(error)


def _what_failed(story: str) -> str:
    """What stands before the plan and behind the line that names the seed."""
    head, _, _ = story.partition("\nplan: ")
    return re.sub(r"\d+", "#", head.partition("\n")[2] or head)


def with_printed(story: str, printed: str) -> str:
    """A story with the end of what its check printed before its last line, which says how to run it again."""
    lines = printed.splitlines()[-PRINTED:]
    told, _, last = story.rpartition("\n")
    return "\n".join([told, "printed:", *(f"  {line}" for line in lines), last]) if lines else story


def unheard() -> AbstractContextManager[object]:
    """Let go what is printed meanwhile."""
    return redirect_stdout(StringIO())


def explore(search: Search, seeds: range) -> Found:
    """Run some seeds here, one after the other."""
    found = Found(ran=[seeds])
    faults = kinds_of(search.faults)
    for seed in seeds:
        found.seeds += 1
        printed = StringIO()
        try:
            with redirect_stdout(printed):
                sim, explored = search.run(seed, faults, search=search.search)
        except KeyboardInterrupt as interrupt:
            interrupt.args = interrupt.args or (f"in seed {seed}",)
            raise
        except ENDS:
            raise
        except Misuse as mistake:
            place = origin(mistake)
            raise Misuse(f"{mistake}{f' ({place})' if place else ''}") from None
        except BaseException as error:
            if is_skip(error):
                found.seeds -= 1
                continue
            found.failed.append((seed, with_printed(text_of(error), printed.getvalue())))
            found.add(Found(0, getattr(error, FIRED, {})))
            continue
        fired = {what: count.fired for what, count in sim.plan.counts.items()}
        found.add(Found(0, fired, dict(sim.world.held), orders={} if explored is None else explored.counts))
    failed = [seed for seed, _ in found.failed]
    audited = [seed for seed in seeds if search.audit and seed % search.audit == 0 and seed not in failed]
    for verdict in audit_seeds(search, audited) if audited else ():
        found.audited += verdict.clean
        if not verdict.clean:
            found.failed.append((verdict.seed, str(verdict)))
    return found


def audit_seeds(search: Search, seeds: list[int]) -> list[Verdict]:
    """Run seeds in other processes and other ways; say which lines make a difference. Raises AuditFailed."""
    from regrove.node.simulation.auditing.auditor import audit
    from regrove.node.simulation.auditing.launching import launcher

    program = "import sys; from regrove.node.simulation.exploring import serve_search; serve_search(*sys.argv[1:])"
    text = json.dumps(asdict(search))
    launch = launcher(lambda orders: [sys.executable, "-c", program, text, str(orders)])
    return audit([("", seed) for seed in seeds], launch)


def serve_search(search: str, orders: str) -> None:
    """Do what an audit asks for; called in a process that it started."""
    from regrove.node.simulation.auditing.variants import serve

    given = json.loads(search)
    known = Search(**{**given, "settings": tuple(map(tuple, given["settings"]))})
    kinds, scenario = kinds_of(known.faults), known.scenario()

    def play(_subject: str, seed: int) -> tuple[Simulation, BaseException | None]:
        return run_once(lambda given: known.world(seed, given), scenario, faults_under(known.search, seed, kinds))

    serve(Path(orders), play)


def search_of(case: Case, **changes: Any) -> Search:
    """The search that a case of `regrove sim` came from. Raises Misuse for a case of a pytest test."""
    app, _, check = case.test.partition(" ")
    if case.of_pytest:
        raise Misuse(f"this case belongs to a pytest test: run {case.command('FILE')}")
    given: dict[str, Any] = {"profile": case.profile, "settings": case.settings, **changes}
    if case.span:
        given["span"] = case.span
    return Search(app, check, case.nodes, case.cores, **given)
