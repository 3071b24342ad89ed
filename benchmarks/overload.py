"""Ten times what an isolate can handle, through the link between the two cores of a real node.

    python -m benchmarks.overload [SECONDS]      prints `name value` lines, then a sentence for each rule that broke

The rules are verdicts, not speeds: memory stays within the stated bound, the isolate that is slow is the one whose row
in `regrove tree` has refusals, and every send that was told OK is handled, refused, lost or unknown, exactly.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import regrove
from regrove import (
    RECEIVE,
    Application,
    Bounds,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Place,
    Reply,
    Supervisor,
)
from regrove.node.process.control import ControlClient

COST_S = 0.0002  # of a message to the slow isolate: it can handle 5 000 a second
TIMES = 10
PAYLOAD = bytes(1024)
TICK_S = 0.01
MIB = 1024 * 1024
QUIET_S = 60.0
LINKS = 1  # from core 0 to core 1


class Slow(Isolate):
    """Works for a while on each message."""

    mailbox_capacity = 1024

    def __init__(self, cost: float) -> None:
        self.cost, self.count = cost, 0

    def start(self, ctx: Context) -> Effect:
        ctx.join(ctx.path)
        return RECEIVE

    def handle(self, ctx: Context, message: object) -> Effect:
        if message == "count":
            return Reply(self.count)
        self.count += 1
        end = time.perf_counter() + self.cost
        while time.perf_counter() < end:
            pass
        return RECEIVE


class Flood(Isolate):
    """Offers the slow isolate ten times what it can do, and a quick one beside it a hundredth of that."""

    def __init__(self) -> None:
        self.sent = self.rejected = self.offered = 0
        self.begun = self.until = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        if message == "figures":
            return Reply((self.sent, self.rejected, ctx.now() < self.until))
        if message == "tick":
            if ctx.now() < self.until:
                self.burst(ctx)
            return RECEIVE
        self.begun = ctx.now()
        self.until = ctx.now() + int(message * 1e9)
        ctx.send_every(TICK_S, "tick")
        return Reply("begun")

    def burst(self, ctx: Context) -> None:
        slow, quick = ctx.members("root/slow")[0], ctx.members("root/quick")[0]
        due = int((ctx.now() - self.begun) / 1e9 * TIMES / COST_S)
        for number in range(self.offered, due):
            if ctx.send(slow if number % 100 else quick, PAYLOAD):
                self.sent += 1
            else:
                self.rejected += 1
        self.offered = due


def tree(place: Place) -> Supervisor:
    if place.core == 0:
        return Supervisor("root", [Child("flood", Flood, name="flood")])
    names = (("slow", COST_S), ("quick", 0.0))
    return Supervisor("root", [Child(name, Slow, cost, name=name) for name, cost in names])


app = Application("overload", tree=tree)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run gave: counts of messages, bytes of memory, refusals by path of the isolate."""

    sent: int
    rejected: int
    handled: int
    refused: int
    lost: int
    unknown: int
    growth: int
    bound: int
    by_isolate: dict[str, int]


def broken(figures: Figures) -> list[str]:
    """A sentence for each rule that does not hold."""
    found = []
    accounted = figures.handled + figures.refused + figures.lost + figures.unknown
    if figures.sent != accounted:
        found.append(f"{figures.sent} sends were OK, {accounted} are accounted for")
    if figures.growth > figures.bound:
        found.append(f"memory grew by {figures.growth / MIB:.1f} MiB, over the bound of {figures.bound / MIB:.1f} MiB")
    if not figures.by_isolate["root/slow"] or figures.by_isolate["root/quick"]:
        found.append(f"the refusals do not name the slow isolate: {figures.by_isolate}")
    if sum(figures.by_isolate.values()) != figures.refused:
        found.append(f"{figures.refused} refusals on the link, {figures.by_isolate} at the isolates")
    return found


def run(seconds: float) -> Figures:
    """Overload a node for so long, wait until it is quiet, and count."""
    with regrove.start("benchmarks.overload:app", cores=2) as node, ControlClient(node.control) as control:
        pids = [row["pid"] for row in node.status()["cores"]]
        before = [resident(pid) for pid in pids]
        node.call("flood", seconds)
        growth = 0
        going = True
        while going:
            time.sleep(0.1)
            growth = max(growth, *(resident(pid) - start for pid, start in zip(pids, before, strict=True)))
            sent, rejected, going = node.call("flood", "figures", timeout=30.0)
        row, by_isolate = quiet(control)
        handled = sum(node.call(Name(name), "count", timeout=30.0) for name in ("slow", "quick"))
    bounds = Bounds()
    mailboxes = 2 * Slow.mailbox_capacity * (len(PAYLOAD) + 200)
    return Figures(
        sent=sent,
        rejected=rejected,
        handled=handled,
        refused=row["refused"],
        lost=row["lost"],
        unknown=row["unknown"],
        growth=growth,
        bound=LINKS * 3 * bounds.link_bytes + 8 * MIB + mailboxes,
        by_isolate=by_isolate,
    )


def resident(pid: int) -> int:
    """Bytes of memory a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def quiet(control: ControlClient) -> tuple[dict[str, Any], dict[str, int]]:
    """Wait until nothing is under way; the row of the link, and the refusals by isolate."""
    deadline = time.monotonic() + QUIET_S
    while True:
        links = next(core["links"] for core in control.ask("links")["cores"] if core["core"] == 0)
        link = next(row for row in links if row["peer"].partition("/")[2].startswith("1.") and row["role"] == "core")
        rows = next(core["rows"] for core in control.ask("tree")["cores"] if core["core"] == 1)
        isolates = [row for row in rows if row["kind"] == "isolate"]
        if not link["in_flight"] + link["waiting"] + sum(row["mailbox"] for row in isolates):
            return link, {row["path"]: row["refused"] for row in isolates}
        if time.monotonic() > deadline:
            raise SystemExit(f"not quiet after {QUIET_S:.0f} s: {link}")
        time.sleep(0.1)


def main() -> None:
    figures = run(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    for name in ("sent", "rejected", "handled", "refused", "lost", "unknown"):
        print(name, getattr(figures, name))
    print("growth_mib", round(figures.growth / MIB, 1), "of", round(figures.bound / MIB, 1))
    print("refused by", figures.by_isolate)
    problems = broken(figures)
    print("\n".join(problems) or "every rule held")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
