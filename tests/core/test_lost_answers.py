"""Answers that are lost while the asker's own link goes on."""

from __future__ import annotations

from typing import Any

from regrove import Call, Child, Failed, Name, NoConnection, Replied, Reply
from tests.core.bench import script
from tests.core.pair import Pair


def test_a_call_whose_answer_was_lost_with_the_other_direction_of_the_link_fails_instead_of_hanging() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: Call(Name("b", core=1), "ask", timeout=None)))],
        [Child("b", script(ask=lambda s, c, _: Reply(1)), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    assert log == [Replied(1)]  # both directions are up
    assert pair.a.core.inject(pair.a.address("root/a"), "go")
    while pair.b.core.counters.handled != 2:
        pair.run(0.001)
    # The answer is under way on b's own connection to a; a's connection to b goes on.
    answering = [each for each in pair.network.connections(pair.b.name, pair.a.name) if pair.network.in_flight(each)]
    for connection in answering:
        pair.network.reset(connection)
    assert answering
    pair.run(3)
    assert [entry.reason for entry in log if isinstance(entry, Failed)] == [NoConnection()]
    pair.tell(pair.a, "root/a", "go")
    assert log[-1] == Replied(1)
