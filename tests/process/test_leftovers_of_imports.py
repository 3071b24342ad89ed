"""What an import left behind is found and named by its module."""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import pytest
import zmq

from regrove.node.process.leftovers import look


def test_a_process_that_is_clean_says_nothing() -> None:
    assert not any("leaves" in text for text in [*look().threads, *look().unforkable])


def test_a_thread_is_named_with_the_module_of_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def wait() -> None:
        over.wait()

    wait.__module__ = "shop.leaves"
    thread = threading.Thread(target=wait, name="poller")
    thread.start()
    try:
        assert "thread poller of shop.leaves" in look().threads
    finally:
        over.set()
        thread.join()


def test_a_context_is_named_with_the_attribute_that_holds_it_and_a_closed_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("shop_leaves")
    monkeypatch.setitem(sys.modules, "shop_leaves", module)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    module.context = context  # type: ignore[attr-defined]
    assert "a ZeroMQ Context in shop_leaves.context" in look().unforkable
    context.term()
    assert not any("shop_leaves" in text for text in look().unforkable)


def test_a_channel_of_grpc_is_found_by_its_class_without_importing_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", ModuleType("grpc"))
    kind = type("Channel", (), {"__module__": "grpc._channel"})
    module = ModuleType("shop_leaves")
    monkeypatch.setitem(sys.modules, "shop_leaves", module)
    module.channel = kind()  # type: ignore[attr-defined]
    assert "a gRPC channel in shop_leaves.channel" in look().unforkable
