"""Control items between managers: they survive the wire, and nonsense is refused by name."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.cluster.views import CoreNames, CoreView, MemberView, NodeView, Shared
from regrove.node.cluster.wire import (
    CALL_INFO,
    PlaneError,
    decode_call_info,
    decode_shared,
    encode_call_info,
    encode_shared,
)

texts = st.text(max_size=40)
numbers = st.integers(0, 2**62)
cores = st.builds(CoreView, st.integers(0, 1023), numbers, texts, texts)
members = st.builds(MemberView, texts, numbers, texts)
groups = st.lists(st.tuples(texts, st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple)), max_size=3).map(tuple)
views = st.builds(
    NodeView, texts, numbers, texts, st.lists(cores, max_size=4).map(tuple), st.lists(members).map(tuple), st.booleans()
)
names = st.builds(CoreNames, texts, numbers, st.integers(0, 1023), numbers, st.lists(texts).map(tuple), groups)


@given(st.one_of(views, names))
def test_what_a_manager_says_arrives_as_it_was_said(item: Shared) -> None:
    assert decode_shared(encode_shared(item)) == item


@given(st.integers(0, 3), st.binary(max_size=200))
def test_random_bytes_are_refused_as_a_plane_error_and_nothing_else(kind: int, payload: bytes) -> None:
    try:
        decode_shared((kind, payload))
    except PlaneError:
        return


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(texts, inner, max_size=3),
)


@given(st.integers(1, 2), plain)
def test_well_formed_nonsense_is_refused_as_a_plane_error_and_nothing_else(kind: int, body: object) -> None:
    try:
        decode_shared((kind, msgpack.packb(body)))
    except PlaneError:
        return


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ((9, b""), "kind 9"),
        ((), "kind None"),
        ((1, b"\xc1"), "not msgpack"),
        ((1, msgpack.packb(["n", 1, "a", [[2000, 1, "e", ""]], [], False])), "a core in a node view"),
        ((1, msgpack.packb(["n" * 600, 1, "a", [], [], False])), "over the limit of 512"),
        ((2, msgpack.packb(["n", 1, 0, 1, [1], []])), "names of a core are texts"),
        ((2, msgpack.packb(["n", 1, 0, 1, [], [["g", [[1]]]]])), "slot and generation"),
    ],
    ids=["unknown kind", "empty", "no msgpack", "core out of range", "long name", "name of no text", "member of one"],
)
def test_each_nonsense_is_named(item: tuple[object, ...], problem: str) -> None:
    with pytest.raises(PlaneError, match=problem):
        decode_shared(item)


def test_call_info_goes_as_a_signal_and_comes_back_as_it_was() -> None:
    info = {"node": "a@h", "incarnation": 1, "cores": [], "names": [["x", 0]], "nodes": []}
    kind, payload = encode_call_info(info)
    assert kind == CALL_INFO
    assert decode_call_info(payload) == info
    with pytest.raises(PlaneError, match="call-info is a table"):
        decode_call_info(msgpack.packb([1]))
