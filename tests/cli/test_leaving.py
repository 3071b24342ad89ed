"""`regrove drain` beside a manager that is played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from regrove.node.cli import leaving, main


class Manager:
    """Answers from a table."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def ask(self, command: str) -> Any:
        return self.answers[command]


def play(monkeypatch: pytest.MonkeyPatch, manager: Manager) -> None:
    @contextmanager
    def control(_node: str | None, _timeout: float) -> Iterator[Manager]:
        yield manager

    monkeypatch.setattr(leaving, "control", control)


def core(number: int, left: dict[str, int] | None, pid: int | None = 7) -> dict[str, Any]:
    return {"core": number, "pid": pid, "left": left}


def test_a_drain_that_is_not_done_names_the_cores_that_have_something_or_do_not_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing, streams = {"requests": 0, "streams": 0, "queued": 0}, {"requests": 0, "streams": 2, "queued": 0}
    cores = [core(0, nothing), core(1, None), core(2, streams), core(3, None, pid=None)]
    status = {"node": "one@here", "state": "draining", "cores": cores}
    play(monkeypatch, Manager(drain={"draining": True}, status=status))
    assert main(["drain", "--timeout", "0"]) == 1
    said = "one@here is draining: core 1 has not said what it has; core 2 has 2 streams;"
    assert said in capsys.readouterr().err
