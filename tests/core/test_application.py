"""Applications, places and the placement of keys."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from regrove import Application, Bounds, Child, DynamicSupervisor, Isolate, Misuse, Place, Supervisor, key_to_core


def test_a_key_has_the_same_core_in_every_process_and_version() -> None:
    # Fixed for good: what is stored by key would have to move otherwise.
    found = [key_to_core(key, 7) for key in ("", "a", "key:000000000042", b"\xff\x00", 0, -1, 2**63)]
    assert found == [0, 4, 5, 0, 2, 3, 5]


def test_text_and_its_bytes_are_one_key() -> None:
    assert key_to_core("häß", 1_000) == key_to_core("häß".encode(), 1_000)


def test_keys_spread_evenly() -> None:
    counts = Counter(key_to_core(f"key:{number:012}", 8) for number in range(8_000))
    assert len(counts) == 8
    assert min(counts.values()) > 700


@pytest.mark.parametrize("cores", [0, -1])
def test_no_cores_is_misuse(cores: int) -> None:
    with pytest.raises(Misuse, match="at least 1"):
        key_to_core("a", cores)


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"name": ""}, "name"), ({"name": 3}, "name"), ({"tree": None}, "tree"), ({"bounds": {}}, "bounds")],
)
def test_an_application_that_cannot_be_is_refused_with_the_field(fields: Any, word: str) -> None:
    good: dict[str, Any] = {"name": "a", "tree": lambda place: Supervisor("root", []), "bounds": Bounds()}
    with pytest.raises(Misuse, match=word):
        Application(**(good | fields))


@pytest.mark.parametrize("made", [None, Child("a", Isolate), DynamicSupervisor("pool"), [Child("a", Isolate)]])
def test_a_tree_that_is_no_supervisor_is_refused_with_the_mend(made: Any) -> None:
    with pytest.raises(Misuse, match="Supervisor"):
        Application("a", tree=lambda place: made).build(Place("n@h", 0, 1))
