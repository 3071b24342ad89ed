"""docs/state-tables.md says what the code does."""

from __future__ import annotations

from regrove.node.core.isolate import STATE_NAMES
from regrove.transport.link import State
from tests.docs.state_tables import PAGE, explored, isolates, links, page


def test_the_page_is_what_the_code_says_today() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.docs.state_tables` and read the difference"


def test_every_state_is_in_its_diagram() -> None:
    own, child = explored()
    found = {state for edge in own for state in edge}
    assert found == {"new", "idle", "busy", "finished"}
    assert {state for edge in child for state in edge} == {"starting", "running", "restarting", "stopping", "stopped"}
    assert {state for edge in links() for state in edge} == {"[*]", *(state.value for state in State)}
    assert {state for edge in isolates() for state in edge} == {"[*]", *STATE_NAMES}
