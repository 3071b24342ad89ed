"""The texts of failed calls: whose end it was, what happened, the mend."""

from __future__ import annotations

from dataclasses import fields

import pytest

from regrove import Name, Reason
from regrove.node.client.errors import CallFailed, CallTimeout
from regrove.node.core import reasons
from regrove.supervisor import reasons as exits

TEXTS: list[tuple[Reason, str, str]] = [
    (reasons.NoReply(), "target", "it handled the request and gave no answer; return Reply(value) from its handler"),
    (
        exits.NoProcess(),
        "target",
        "nobody answers to that; check the name in `regrove tree`, or look the address up again",
    ),
    (reasons.MailboxFull(), "target", "its mailbox is full, nothing was queued; try again later, or send less"),
    (
        reasons.TooLarge(),
        "caller",
        "the message is larger than the node takes; send it in parts, or raise message_bytes",
    ),
    (reasons.Unreachable(), "link", "its core cannot be reached, nothing was sent; see `regrove status` of that node"),
    (
        exits.NoConnection(),
        "link",
        "the connection was lost while the call was under way; it may have run: ask before you repeat what must not "
        "happen twice",
    ),
    (
        exits.Crashed("ValueError", "no", "bank.py:3"),
        "target",
        "it crashed while it had the request: ValueError: no at bank.py:3; it may have run: ask before you repeat what "
        "must not happen twice",
    ),
    (
        exits.CoreDown("killed by SIGKILL"),
        "node",
        "its core went down: killed by SIGKILL; it may have run: ask before you repeat what must not happen twice",
    ),
    (
        exits.Shutdown(exits.Crashed("E")),
        "target",
        "it ended before it answered: an orderly stop because of E; wait until it runs again",
    ),
]


@pytest.mark.parametrize(("reason", "end", "text"), TEXTS)
def test_a_failed_call_says_whose_end_it_was_what_happened_and_the_mend(reason: Reason, end: str, text: str) -> None:
    error = CallFailed(reason, "ledger")
    assert error.end == end
    assert str(error) == f"'ledger': {text}"
    assert error.reason == reason


def test_a_timeout_is_a_failed_call_and_says_how_long_it_waited() -> None:
    error = CallTimeout(Name("ledger", core=1), 0.5)
    assert isinstance(error, CallFailed)
    assert error.reason == reasons.Timeout()
    assert str(error) == (
        "'ledger' (core=1): no answer in time (0.5 s); it may have run: ask before you repeat what must not happen "
        "twice; give a longer timeout, or see `regrove tree`"
    )


def test_every_reason_there_is_has_a_text_and_a_side() -> None:
    for module in (reasons, exits):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Reason) and kind is not Reason:
                error = CallFailed(kind(*["x"] * len(fields(kind))), "a")  # type: ignore[arg-type]
                assert error.end in ("caller", "link", "node", "target")
                assert str(error).startswith("'a': ")
