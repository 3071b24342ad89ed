"""A Playbook is a script: what happens in, what comes of it out, a diff when they part."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from regrove import (
    DONE,
    RECEIVE,
    Call,
    Child,
    Continue,
    Down,
    Effect,
    Failed,
    Isolate,
    Misuse,
    NotInHandler,
    Replied,
    Reply,
    Sent,
    Shutdown,
    Supervisor,
    Timeout,
)
from regrove.node.core.context import Context
from regrove.node.core.handles import Ticket, Timer
from regrove.node.simulation.recording import ACTIONS, RecordingContext
from regrove.supervisor.reasons import Crashed, Normal
from regrove.testing import START, Asked, Elapsed, Held, Playbook, Stopping, actions, did, events
from tests.simulation.apps import Add, Beat, Counter, Total

ROOT = Path(__file__).parents[2]


class Clerk(Isolate):
    """Asks a bank, tells a log, keeps time."""

    kept: Any = None

    def start(self, ctx: Context) -> Effect:
        self.timer = ctx.send_after(1.5, Beat())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Add():
                return Continue(Total()) if ctx.send("log", message) else DONE
            case Total():
                self.kept = ctx
                return Call("bank", message, then=self.answered)
            case Beat():
                ctx.monitor("bank")
                ctx.log.info("beat", number=ctx.now())
                return RECEIVE
            case Down(ticket, _, _):
                ctx.send("log", f"bank of {ticket!r} is down")
                return RECEIVE
            case "share":
                ctx.send("log", self.shared)
                self.shared.append(2)
                return RECEIVE
        return None  # type: ignore[return-value]

    def answered(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(outcome.value) if isinstance(outcome, Replied) else RECEIVE

    shared: list[int]


def failure(playbook: Playbook) -> str:
    with pytest.raises(AssertionError) as caught:
        playbook.check()
    return str(caught.value)


def test_messages_go_in_and_effects_come_out() -> None:
    assert Playbook(Counter(10)) << START >> RECEIVE << Add(5) >> RECEIVE << Asked(Total()) >> Reply(15)


def test_actions_on_ctx_come_before_the_effect_in_their_order() -> None:
    script = Playbook(Clerk()) << START >> did.send_after(1.5, Beat()) >> RECEIVE
    assert script << Add(1) >> did.send(to="log", message=Add(1)) >> Continue(Total())


def test_the_outcome_of_a_wait_goes_to_its_then_and_the_request_stays_in_hand() -> None:
    script = Playbook(Clerk()) << Asked(Total()) >> Call("bank", Total()) << Replied(3) >> Reply(3)
    assert script << Total() >> Call("bank", Total()) << Failed(Timeout()) >> RECEIVE


def test_what_ctx_answers_is_the_scripts_to_say() -> None:
    full = did.send("log", Add(1)).gives(Sent.MAILBOX_FULL)
    assert Playbook(Clerk()) << Add(1) >> full >> DONE


def test_a_ticket_is_held_until_its_event_comes_and_time_is_the_scripts() -> None:
    clerk, held = Clerk(), Held()
    script = Playbook(clerk) << START >> did.send_after(1.5, Beat()) >> RECEIVE << Elapsed(1.5)
    assert script << Beat() >> did.monitor("bank") >> RECEIVE
    assert script.logs == [("info", "beat", {"number": 1_500_000_000})]
    assert clerk.timer == Timer(1)
    down = Down(Ticket(2), None, Normal())
    assert script << down >> did.send("log", held) >> RECEIVE
    assert held.value == "bank of Ticket(2) is down"
    with pytest.raises(Misuse, match="no value yet"):
        _ = Held().value


def test_a_difference_is_shown_as_a_diff_of_the_script() -> None:
    text = failure(Playbook(Counter(10)) << Add(5) >> RECEIVE << Asked(Total()) >> Reply(16))
    assert "part after Asked(message=Total())" in text
    assert text.splitlines()[1:] == [
        f"  << {Add(5)!r}",
        "  >> RECEIVE",
        f"  << {Asked(Total())!r}",
        "- >> Reply(16, RECEIVE)",
        "+ >> Reply(15, RECEIVE)",
    ]


def test_what_is_left_out_or_said_wrongly_is_a_difference() -> None:
    sent, becomes = did.send("log", Add(1)), Continue(Total())
    wrong: list[list[Any]] = [[], [sent], [becomes], [becomes, sent], [did.send("log", Add(2)), becomes], [sent] * 2]
    for expected in wrong:
        script = Playbook(Clerk()) << Add(1)
        for item in expected:
            script >> item
        assert "part after" in failure(script)


def test_a_crash_is_an_effect_of_its_type_and_text() -> None:
    clerk = Clerk()
    script = Playbook(clerk) << Total() >> Call("bank", Total()) << Failed(Timeout()) >> RECEIVE
    assert script << "share" >> Crashed("AttributeError")
    assert "+ >> Crashed" in failure(Playbook(Clerk()) << "share" >> Crashed("AttributeError", "another text"))
    assert "has ended" in failure(script << Add(1) >> RECEIVE)
    with pytest.raises(NotInHandler):
        clerk.kept.send("log", 1)


def test_no_effect_a_reply_to_nobody_and_ignore_too_late_are_crashes() -> None:
    assert Playbook(Clerk()) << "unknown" >> Crashed("Crash")
    assert "None was returned" in failure(Playbook(Clerk()) << "unknown" >> RECEIVE)
    assert "no request in hand" in failure(Playbook(Counter(1)) << Total() >> Reply(1))


def test_what_no_core_would_let_happen_is_refused() -> None:
    waiting = Playbook(Clerk()) << Total() >> Call("bank", Total())
    assert "its outcome comes first" in failure(waiting << Add(1) >> RECEIVE)
    assert "nothing was waited for" in failure(Playbook(Clerk()) << Replied(1) >> RECEIVE)
    going_on = Playbook(Clerk()) << Add(1) >> did.send("log", Add(1)) >> Continue(Total())
    assert "its message comes first" in failure(going_on << Add(2) >> RECEIVE)
    assert "first event of a life" in failure(Playbook(Counter(1)) << Add(1) >> RECEIVE << START >> RECEIVE)


def test_stop_interrupts_a_wait() -> None:
    assert Playbook(Clerk()) << Total() >> Call("bank", Total()) << Stopping(Shutdown("now")) >> DONE


class Slow(Isolate):
    """Starts in two steps and drains when it is asked to stop."""

    def start(self, ctx: Context) -> Effect:
        return Call("bank", Total(), then=self.opened)

    def opened(self, ctx: Context, outcome: Any) -> Effect:
        return RECEIVE

    def stop(self, ctx: Context, reason: Any) -> Effect:
        return RECEIVE


def test_stop_runs_once_and_only_in_an_isolate_that_has_started() -> None:
    begun = Playbook(Slow()) << START >> Call("bank", Total())
    assert "asked in its start ends with no callback" in failure(begun << Stopping() >> RECEIVE)
    drained = Playbook(Slow()) << START >> Call("bank", Total()) << Replied(1) >> RECEIVE << Stopping() >> RECEIVE
    assert "asked before hears no more of it" in failure(drained << Stopping() >> RECEIVE)


def test_what_is_sent_is_what_would_have_arrived() -> None:
    clerk = Clerk()
    clerk.shared = [1]
    assert Playbook(clerk) << "share" >> did.send("log", [1]) >> RECEIVE
    clerk.shared = [{1}]  # type: ignore[list-item]
    assert Playbook(clerk) << "share" >> Crashed("UnsendableValue")


def test_a_supervisors_machine_follows_a_script_too() -> None:
    child = Child("a", Counter, 10)
    report: Any = Held()
    boom = Crashed("Boom")
    script = Playbook(Supervisor("s", [child])) << events.Begin() >> actions.StartChild(1, child, (10,))
    script << events.ChildStarted(1, "at 1") >> actions.Up()
    script << events.ChildEnded(1, boom) >> actions.Emit(report) >> actions.StartChild(1, child, (10,))
    assert script << events.ChildStarted(1, "at 2") << Elapsed(2)
    assert (report.value.reason, report.value.budget_left) == (boom, 0)
    again = script << events.ChildEnded(1, boom) >> actions.Emit(ANY) >> actions.Emit(ANY)
    assert again >> actions.Finish(Shutdown(boom))


def test_an_event_the_machine_does_not_take_is_a_failure_that_names_it() -> None:
    assert "does not take" in failure(Playbook(Supervisor("s", [])) << events.Retry(1))


def test_held_values_fill_later_events() -> None:
    child = Child("a", Counter, 10, start_timeout=1.0)
    token: Any = Held()
    script = Playbook(Supervisor("s", [child])) << events.Begin()
    script >> actions.StartChild(1, child, (10,)) >> actions.ArmLimit(token, 1.0)
    late = events.LimitReached(token)
    assert script << late >> actions.KillChild(1)


def test_bad_scripts_are_refused_with_the_mend() -> None:
    empty = Playbook(Counter(1))
    with pytest.raises(Misuse, match="write `<< event` before it"):
        empty >> RECEIVE
    with pytest.raises(Misuse, match="takes an isolate such as"):
        Playbook(Counter)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="ctx has no action 'shout'"):
        did.shout("x")
    assert "says nothing" in failure(empty)


def test_a_with_block_asserts_at_its_end() -> None:
    with pytest.raises(AssertionError, match="part after"), Playbook(Counter(1)) as script:
        script << Asked(Total()) >> Reply(2)


def test_the_recording_ctx_has_every_method_of_ctx() -> None:
    public = [name for name in dir(Context) if not name.startswith("_")]
    assert [name for name in public if name not in vars(RecordingContext)] == []
    assert [name for name in ACTIONS if name not in public] == []
    for name in public:
        ours, real = vars(RecordingContext)[name], getattr(Context, name)
        if not isinstance(real, property):
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(real).parameters), name


FORGOTTEN = """
import pytest
from regrove import RECEIVE
from regrove.testing import Playbook
from tests.simulation.apps import Add, Counter

@pytest.fixture
def built():
    return Playbook(Counter(1)) << Add(1) >> RECEIVE

def test_forgets():
    Playbook(Counter(1)) << Add(1) >> RECEIVE

def test_forgets_what_a_fixture_built(built):
    pass

def test_forgets_what_came_later(built):
    assert built
    built << Add(2)

def test_asserts(built):
    assert built

def test_fails_for_its_own_reason():
    Playbook(Counter(1)) << Add(1) >> RECEIVE
    raise ValueError("its own")
"""


def test_a_test_that_never_asserts_its_playbook_fails(tmp_path: Path) -> None:
    (tmp_path / "test_forgotten.py").write_text(FORGOTTEN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-rf", str(tmp_path)],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    failed = [line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    forgotten = ["test_forgets", "test_forgets_what_a_fixture_built", "test_forgets_what_came_later"]
    assert failed == [*forgotten, "test_fails_for_its_own_reason"], done.stdout
    assert done.stdout.count("was built and never asserted") >= 3
    assert "1 passed" in done.stdout
