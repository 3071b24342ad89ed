"""Which node of this machine is meant: by name, by half a name, or the only one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from regrove.node.client.discovery import control_path, find_node
from regrove.node.client.errors import NoNode
from regrove.node.process.folders import RuntimeFolder


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[str]]:
    """Names put into the yielded function's folder count as running: their locks are held by this process."""
    with ExitStack() as stack:
        names: list[str] = []

        class Names(list[str]):
            def append(self, name: str) -> None:
                folder = RuntimeFolder(tmp_path / "run", name)
                folder.claim()
                stack.callback(folder.release)
                super().append(name)

        names = Names()
        yield names


def environ(tmp_path: Path) -> dict[str, str]:
    return {"REGROVE_RUNTIME_DIR": str(tmp_path / "run")}


def test_the_only_node_is_found_without_a_name(running: list[str], tmp_path: Path) -> None:
    running.append("shop@here")
    assert find_node(None, environ(tmp_path)).name == "shop@here"
    assert control_path(None, environ(tmp_path)) == tmp_path / "run" / "shop@here" / "control"


def test_a_node_is_found_by_its_name_and_by_the_part_before_its_host(running: list[str], tmp_path: Path) -> None:
    running.append("shop@here")
    running.append("bank@here")
    assert find_node("bank@here", environ(tmp_path)).name == "bank@here"
    assert find_node("shop", environ(tmp_path)).name == "shop@here"


def test_several_nodes_are_listed(running: list[str], tmp_path: Path) -> None:
    running.append("shop@here")
    running.append("bank@here")
    with pytest.raises(NoNode) as caught:
        find_node(None, environ(tmp_path))
    assert str(caught.value) == (
        "several nodes run here: bank@here, shop@here; say which one by its name (commands: --node NAME)"
    )


def test_a_wrong_name_is_told_which_nodes_there_are(running: list[str], tmp_path: Path) -> None:
    running.append("shop@here")
    with pytest.raises(NoNode) as caught:
        find_node("bank", environ(tmp_path))
    assert str(caught.value) == (
        "no node named bank runs here, but shop@here; name one of those, or start it with `regrove start`"
    )


def test_a_folder_whose_manager_is_gone_is_no_node(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path / "run", "shop@here")
    folder.claim()
    folder.release()
    with pytest.raises(NoNode) as caught:
        find_node("shop@here", environ(tmp_path))
    assert str(caught.value).startswith(f"no node named shop@here runs here (searched {tmp_path / 'run'}); ")
    assert "start one with `regrove start module:app`" in str(caught.value)
