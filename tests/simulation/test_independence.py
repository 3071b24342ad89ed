"""What is added or taken away in one place decides nothing in another: logs, draws, isolates, frames."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, DynamicSupervisor, Effect, Isolate, Name, Offload, Place, Supervisor
from regrove.node.core.context import Context
from regrove.supervisor.spec import AnySpec
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.leaks.planting import Seen, Sink, Tick

FAULTS = (f.spike(noise=(1, 20)), f.slow(often=(1, 1)), f.pause(often=(1, 1)), f.crash(on="isolate", often=(1, 2)))


class Drawer(Isolate):
    """Draws a number each 5 ms; what it does besides is what a test adds."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.drawn: list[int] = []

    def start(self, ctx: Context) -> Effect:
        self.extra = ctx.place.settings.get("extra", "")
        ctx.send_every(0.005, Tick())
        if self.extra == "child" and self.id == "a":
            ctx.spawn(Child("another", Drawer, "another"), under="pool")
        if self.id == "a":
            ctx.spawn(Child("member", Drawer, "member"), under="pool")
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        if self.id == "a":
            if self.extra == "log":
                ctx.log.info("one more line", drawn=len(self.drawn))
            elif self.extra == "draw":
                ctx.random.random()
            elif self.extra == "frames" and ctx.place.node == "n0@sim":
                ctx.send(Name("sink", "n2@sim"), Seen("x" * (len(self.drawn) % 50)))
        self.drawn.append(ctx.random.getrandbits(32))
        if ctx.place.node == "n0@sim":
            ctx.send(Name("sink", "n1@sim"), Seen(self.id))
        return RECEIVE


def tree(place: Place) -> Supervisor:
    another = [Child("another", Drawer, "another")] if place.settings.get("extra") == "isolate" else []
    named = [Child(id, Drawer, id) for id in ("a", "b")]
    children: list[AnySpec] = [
        *another,
        Child("sink", Sink, name="sink"),
        DynamicSupervisor("pool", name="pool"),
        *named,
    ]
    return Supervisor("root", children, intensity=1_000, period=1.0)


app = Application("drawing", tree=tree)


def run(extra: str = "", seed: int = 6, faults: f.Faults = FAULTS) -> Simulation:
    with Simulation(app, nodes=3, seed=seed, faults=faults, settings={"extra": extra}) as sim:
        sim.run("2s")
    return sim


def draws(sim: Simulation, *ids: str) -> dict[tuple[str, str, int], list[int]]:
    found = {}
    for node in sim.nodes:
        life = node.cores[0].life
        assert life is not None
        for cell in life.core.cells:
            if cell is not None and isinstance(cell.isolate, Drawer) and cell.isolate.id in ids:
                found[node.name, cell.path, cell.incarnation] = cell.isolate.drawn
    return found


def assert_agree(one: list[int], other: list[int], least: int) -> None:
    """One may have come further than the other; as far as both came they are the same."""
    both = min(len(one), len(other))
    assert both >= least
    assert one[:both] == other[:both]


def test_a_line_in_the_log_changes_nothing_at_all() -> None:
    plain, logging = run(), run("log")
    assert [line for line in logging.logs if line["event"] == "one more line"]
    assert logging.trace.digest == plain.trace.digest
    assert logging.plan.struck == plain.plan.struck


@pytest.mark.parametrize("extra", ["draw", "isolate", "child", "frames"])
def test_what_is_added_moves_no_fault_and_no_number_of_anybody_else(extra: str) -> None:
    quiet = (f.slow(often=(1, 1)), f.pause(often=(1, 1)))
    plain, changed = run(faults=quiet), run(extra, faults=quiet)
    assert (changed.trace.digest == plain.trace.digest) is (extra == "draw")  # nobody sees what was drawn for nothing
    assert changed.plan.entries == plain.plan.entries
    assert plain.plan.entries
    before, after = draws(plain, "b", "member"), draws(changed, "b", "member")
    assert list(before) == list(after)
    assert len(before) == 6
    for name, drawn in before.items():
        assert_agree(drawn, after[name], least=100)


def test_what_draws_more_gets_other_numbers_itself() -> None:
    assert draws(run(faults=None), "a") != draws(run("draw", faults=None), "a")


def test_a_child_started_at_run_time_draws_by_its_id_whoever_was_started_before_it() -> None:
    plain, changed = run(faults=None), run("child", faults=None)
    assert [path for _, path, _ in draws(changed, "member", "another")][:2] == ["root/pool/another", "root/pool/member"]
    assert [path for _, path, _ in draws(plain, "member")] == ["root/pool/member"] * 3
    assert draws(plain, "member") != {}


def struck(sim: Simulation, link: str) -> list[int]:
    """The ordinals of the frames of a link that the noise struck."""
    places = [fault.where.split("#") for fault in sim.plan.struck if fault.what == f.SPIKE]
    return [int(ordinal) for place, ordinal in places if place == link]


def links(sim: Simulation) -> list[str]:
    return list(dict.fromkeys(fault.where.partition("#")[0] for fault in sim.plan.struck))


def test_frames_on_one_link_move_the_noise_on_no_other() -> None:
    noise = f.spike(noise=(1, 8))
    plain, changed = run(faults=noise), run("frames", faults=noise)
    busy = max(links(plain), key=lambda link: len(struck(plain, link)))
    assert {busy[:2], busy.partition(">")[2][:2]} == {"n0", "n1"}
    for link in links(plain):
        assert_agree(struck(plain, link), struck(changed, link), least=10 if link == busy else 0)
    grown = [link for link in links(changed) if len(struck(changed, link)) > len(struck(plain, link)) + 10]
    assert grown
    assert all("n0" in link and "n2" in link for link in grown)


CRASHES = """
from regrove import RECEIVE, Application, Child, Isolate, Name, Supervisor

class Fragile(Isolate):
    def handle(self, ctx, message):
        raise ValueError("broken")

class Watcher(Isolate):
    def start(self, ctx):
        ctx.send_after(0.1, 1)
        self.heard = []
        return RECEIVE

    def handle(self, ctx, message):
        if message == 1:
            ctx.monitor(Name("fragile", "n0@sim"))
            ctx.send(Name("fragile", "n0@sim"), 1)
        else:
            self.heard.append(message)
        return RECEIVE

def tree(place):
    isolate = Fragile if place.node == "n0@sim" else Watcher
    return Supervisor("root", [Child("it", isolate, name=isolate.__name__.lower())])

app = Application("crashes", tree=tree)
"""


def test_where_the_checkout_lies_changes_nothing() -> None:
    digests = []
    for folder in ("/a", "/a/much/longer/name"):
        names: dict[str, Any] = {"__name__": "crashes"}
        exec(compile(CRASHES, f"{folder}/crashes.py", "exec"), names)
        with Simulation(names["app"], nodes=2) as sim:
            sim.run("1s")
            [watcher] = sim.isolates(names["Watcher"])
        [down] = watcher.heard
        assert down.reason.site == "crashes.py:6"
        digests.append(sim.trace.digest)
    assert digests[0] == digests[1]


def told_of(broken: str) -> str:
    """What a watcher hears of an isolate that raises that."""
    names: dict[str, Any] = {"__name__": "crashes"}
    exec(compile(CRASHES.replace('"broken"', broken), "crashes.py", "exec"), names)
    with Simulation(names["app"], nodes=2) as sim:
        sim.run("1s")
        [watcher] = sim.isolates(names["Watcher"])
    [down] = watcher.heard
    return str(down.reason.text)


def test_where_an_object_lies_is_not_in_what_others_hear_of_a_crash() -> None:
    assert told_of("object()") == "<object object at 0x..>"
    assert told_of('f"{self.handle!r} is at 0x"').endswith(" at 0x..>> is at 0x")
    assert told_of('"broken"') == "broken"


class Fickle(Isolate):
    """Asks for a buggify point each 5 ms, and more often where a test wants that."""

    def start(self, ctx: Context) -> Effect:
        self.met: list[bool] = []
        self.more = ctx.place.node == "n1@sim" and ctx.place.settings.get("extra") == "more"
        ctx.send_every(0.005, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.met.append(ctx.buggify("a"))
        if self.more:
            ctx.buggify("a")
        return RECEIVE


fickle = Application("fickle", tree=lambda place: Supervisor("root", [Child("fickle", Fickle)]))


def test_an_isolate_that_asks_for_a_point_more_often_moves_no_answer_on_another_place() -> None:
    def answers(extra: str, seed: int) -> list[list[bool]]:
        with Simulation(fickle, nodes=2, seed=seed, faults=f.buggify((1, 2)), settings={"extra": extra}) as sim:
            sim.run("1s")
            return [isolate.met for isolate in sim.isolates(Fickle)]

    seed = next(seed for seed in range(20) if any(answers("", seed)[0]))
    (first, second), (first_beside_more, second_of_more) = answers("", seed), answers("more", seed)
    assert first == first_beside_more
    assert second != second_of_more
    assert first != second


def square(number: int) -> int:
    return number * number


class Thinker(Isolate):
    """Offloads one function again and again, and remembers how many whole 10 us each took."""

    def start(self, ctx: Context) -> Effect:
        self.took: list[int] = []
        ctx.send_after(0.001, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        return self.think(ctx)

    def think(self, ctx: Context) -> Effect:
        self.began = ctx.now()
        return Offload(square, 3, then=self.thought)

    def thought(self, ctx: Context, _: Any) -> Effect:
        self.took.append((ctx.now() - self.began) // 10_000)
        return self.think(ctx)


def thinking(place: Place) -> Supervisor:
    more = [Child("another", Thinker)] if place.settings.get("extra") else []
    return Supervisor("root", [*more, Child("thinker", Thinker)])


def test_an_isolate_that_offloads_the_same_function_makes_that_of_another_take_no_longer() -> None:
    def took(settings: dict[str, str]) -> list[int]:
        with Simulation(Application("thinking", tree=thinking), seed=3, settings=settings) as sim:
            sim.run("300ms")
            isolate = sim.find("root/thinker").isolate
            assert isinstance(isolate, Thinker)
            return isolate.took

    alone, beside = took({}), took({"extra": "1"})
    both = min(len(alone), len(beside))
    assert both > 20
    assert all(abs(one - other) <= 2 for one, other in zip(alone[:both], beside[:both], strict=True))
