"""What people read: aligned tables, sizes, the status and the tree of a node, word for word."""

from __future__ import annotations

import pytest

from regrove.node.cli.looking import is_ready
from regrove.node.cli.tables import link_lines, plural, size, status_lines, table, tree_lines


def test_columns_are_aligned_and_nothing_shows_as_a_dash() -> None:
    assert table(("core", "pid"), [(0, 1234), (10, None)]) == ["core  pid", "0     1234", "10    -"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (32 << 20, "32.0 MiB"), (5 << 50, "5120.0 TiB")],
)
def test_sizes_are_shown_in_the_unit_people_read(count: int | None, shown: str) -> None:
    assert size(count) == shown


def test_plurals() -> None:
    assert [plural(1, "core"), plural(2, "core"), plural(0, "child")] == ["1 core", "2 cores", "0 children"]


def _core(**values: object) -> dict[str, object]:
    return {
        "core": 0,
        "pid": 11,
        "state": "up",
        "incarnation": 1,
        "restarts": 0,
        "last_exit": None,
        "isolates": 3,
        "rss": 30 << 20,
    } | values


def test_status_says_what_happened_to_each_core_and_why() -> None:
    status = {
        "node": "shop@here",
        "state": "degraded",
        "cores": [
            _core(),
            _core(core=1, restarts=1, incarnation=2, last_exit="killed by SIGKILL"),
            _core(core=2, restarts=4, state="quarantined", pid=None, rss=None, last_exit="exited with status 3"),
        ],
        "manager": {"pid": 10},
        "agent": None,
    }
    assert status_lines(status) == [
        "shop@here is degraded (manager pid 10)",
        "  core  state        pid  restarts  isolates  memory",
        "  0     up           11   0         3         30.0 MiB",
        "  1     up           11   1         3         30.0 MiB",
        "  2     quarantined  -    4         3         -",
        "  core 1 was restarted 1 time; the last life before this one: killed by SIGKILL",
        "  core 2 is quarantined after 4 restarts: exited with status 3",
    ]


def _link(peer: str, **values: object) -> dict[str, object]:
    counts = ("sent", "acknowledged", "refused", "lost", "unknown", "in_flight", "waiting", "received")
    return {"peer": peer, "state": "up", "credit_messages": 4096, **dict.fromkeys(counts, 0), **values}


def test_links_are_a_row_each_and_those_that_ended_one_sum() -> None:
    cores = [
        {"core": 0, "links": [_link("b@h.1/0.1", sent=3, acknowledged=2, in_flight=1), _link("", sent=1, lost=1)]},
        {"core": 1, "links": [_link("")]},
    ]
    lines = link_lines(cores)
    assert " ".join(lines[0].split()) == (
        "core peer state credit sent acknowledged refused lost unknown in flight waiting received"
    )
    assert [line.split() for line in lines[1:]] == [
        ["0", "b@h.1/0.1", "up", "4096", "3", "2", "0", "0", "0", "1", "0", "0"],
        ["0", "(ended)", "-", "-", "1", "0", "0", "1", "0", "0", "0", "0"],
    ]


def test_the_tree_shows_supervisors_isolates_waits_and_why_a_child_ended() -> None:
    supervisor = {
        "path": "root",
        "kind": "supervisor",
        "state": "idle",
        "strategy": "one_for_one",
        "children": 2,
        "running": 1,
        "restarts": 0,
        "restarts_total": 2,
        "last_reason": None,
    }
    counter = {
        "path": "root/counter",
        "kind": "isolate",
        "type": "Counter",
        "state": "blocked",
        "mailbox": 3,
        "capacity": 256,
        "handled": 12,
        "refused": 7,
        "blocked_at": "shop.py:12",
        "waits_for": "Call",
        "restarts": 2,
        "last_reason": "Crashed: boom",
    }
    stopped = {"path": "root/b", "kind": "isolate", "state": "stopped", "restarts": 0, "last_reason": None}
    assert tree_lines("shop@here", [{"core": 0, "rows": [supervisor, counter, stopped]}]) == [
        "shop@here",
        "  core 0",
        "    root       one_for_one, 1 of 2 children running, 2 restarts of its children",
        "      counter  Counter, blocked, waits for Call at shop.py:12, 12 handled, 7 refused, "
        "3 of 256 in its mailbox, 2 restarts, last ended: Crashed: boom",
        "      b        not running, stopped",
    ]


def test_a_node_is_ready_when_it_is_up_and_every_core_goes_on() -> None:
    fine: dict[str, object] = {"stalled": None, "stopped": False}
    assert is_ready({"state": "up", "cores": [fine, fine]})
    assert not is_ready({"state": "draining", "cores": [fine]})
    assert not is_ready({"state": "up", "cores": [fine, {"stalled": None, "stopped": True}]})
    assert not is_ready({"state": "up", "cores": [fine, {"stalled": "shop.py:10", "stopped": False}]})
