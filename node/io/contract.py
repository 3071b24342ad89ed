"""What every edge must do: checks that run against any `IoPort`, the real one and the simulated one alike.

Each check is a function that takes a fresh `Bench` and fails with an AssertionError. A test runs all of `CHECKS`:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_the_edge_keeps_the_contract(check, bench): check(bench)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from regrove.node.core.effects import (
    Accept,
    Close,
    Connect,
    Listen,
    ListFiles,
    Offload,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
)
from regrove.node.core.ports import IoCancel, IoRelease
from regrove.node.core.reasons import Busy, NotOwner, OsError, Raised
from regrove.node.io.bench import HOST, LISTENER, STREAM, Bench

__all__ = ["CHECKS", "HOST", "LISTENER", "STREAM", "Bench"]


def _is_os_error(result: object, *names: str) -> bool:
    return isinstance(result, OsError) and result.name in names


# Connections


def what_one_end_writes_the_other_reads(bench: Bench) -> None:
    near, far = bench.pair()
    assert bench.run(Write(STREAM, b"question"), near) is None
    assert bench.read_all(far, 8) == b"question"
    assert bench.run(Write(STREAM, b"answer"), far) is None
    assert bench.read_all(near, 6) == b"answer"


def a_read_takes_at_most_its_limit_and_leaves_the_rest(bench: Bench) -> None:
    near, far = bench.pair()
    bench.run(Write(STREAM, b"abcdef"), near)
    assert bench.run(Read(STREAM, 1), far) == b"a"
    assert bench.run(Read(STREAM, 1), far) == b"b"
    assert bench.read_all(far, 4) == b"cdef"


def a_read_waits_for_the_first_byte(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), far)
    assert not bench.has_ended(read)
    bench.run(Write(STREAM, b"x"), near)
    assert bench.end(read) == b"x"


def a_write_longer_than_any_buffer_arrives_whole_and_in_order(bench: Bench) -> None:
    near, far = bench.pair()
    data = b"".join(number.to_bytes(4, "big") for number in range(bench.flood // 4))
    write = bench.begin(Write(STREAM, data), near)
    assert not bench.has_ended(write)
    assert bench.read_all(far, len(data), 100_003) == data
    assert bench.end(write) is None


def an_empty_write_ends_at_once(bench: Bench) -> None:
    near, _far = bench.pair()
    assert bench.run(Write(STREAM, b""), near) is None


def a_peer_that_closes_is_read_as_the_end_after_its_bytes(bench: Bench) -> None:
    near, far = bench.pair()
    bench.run(Write(STREAM, b"last"), near)
    assert bench.run(Close(STREAM), near) is None
    assert bench.read_all(far, 4) == b"last"
    assert bench.run(Read(STREAM), far) == b""
    assert bench.run(Read(STREAM), far) == b""


def a_waiting_read_ends_empty_when_the_peer_closes(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), far)
    bench.run(Close(STREAM), near)
    assert bench.end(read) == b""


def writing_to_a_peer_that_is_gone_fails_in_the_end(bench: Bench) -> None:
    near, far = bench.pair()
    bench.run(Close(STREAM), far)
    assert bench.run(Read(STREAM), near) == b""
    for _ in range(1_000):
        result = bench.run(Write(STREAM, b"x" * 10_000), near)
        if result is not None:
            assert _is_os_error(result, "EPIPE", "ECONNRESET"), result
            return
    raise AssertionError("1 000 writes to a closed peer succeeded")


def a_second_read_or_write_at_once_is_busy(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), near)
    assert bench.run(Read(STREAM), near) == Busy()
    write = bench.begin(Write(STREAM, bytes(bench.flood)), near)
    assert bench.run(Write(STREAM, b"x"), near) == Busy()
    bench.run(Write(STREAM, b"still served"), far)
    assert bench.end(read)
    assert not bench.has_ended(write)


def a_cancelled_read_takes_no_byte_and_answers_nothing(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), far)
    bench.submit(IoCancel(read))
    bench.run(Write(STREAM, b"abc"), near)
    assert bench.read_all(far, 3) == b"abc"
    assert not bench.has_ended(read)


def a_read_cancelled_in_the_pass_that_began_it_takes_no_byte(bench: Bench) -> None:
    near, far = bench.pair()
    bench.run(Write(STREAM, b"abcd"), near)
    assert bench.run(Read(STREAM, 1), far) == b"a"
    request = bench.request(Read(STREAM, 2), far)
    bench.submit(request, IoCancel(request.token))
    assert bench.read_all(far, 3, limit=1) == b"bcd"
    assert not bench.has_ended(request.token)


def a_cancelled_write_leaves_the_stream_usable(bench: Bench) -> None:
    near, far = bench.pair()
    write = bench.begin(Write(STREAM, bytes(bench.flood)), near)
    assert not bench.has_ended(write)
    bench.submit(IoCancel(write))
    second = bench.begin(Write(STREAM, b"end"), near)
    data = b""
    while not data.endswith(b"end"):
        data += bench.run(Read(STREAM, 1_000_000), far)
    assert bench.end(second) is None
    assert 0 < len(data) - 3 < bench.flood
    assert not bench.has_ended(write)


def a_released_stream_answers_nothing_and_its_peer_reads_the_end(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), near)
    bench.submit(IoRelease(near))
    assert bench.run(Read(STREAM), far) == b""
    assert not bench.has_ended(read)


def closing_ends_what_is_under_way_and_the_handle_is_refused_afterwards(bench: Bench) -> None:
    near, _far = bench.pair()
    read = bench.begin(Read(STREAM), near)
    assert bench.run(Close(STREAM), near) is None
    assert bench.end(read) == NotOwner()
    for wait in (Read(STREAM), Write(STREAM, b"x"), Sync(STREAM), Close(STREAM)):
        assert bench.run(wait, near) == NotOwner(), wait


# Listening and connecting


def a_connect_where_nobody_listens_is_refused(bench: Bench) -> None:
    listener, port = bench.listen()
    bench.run(Close(LISTENER), listener)
    assert _is_os_error(bench.run(Connect(HOST, port)), "ECONNREFUSED")


def a_listener_tells_where_it_is_bound(bench: Bench) -> None:
    handle, host, port = bench.run(Listen(HOST, 0))
    assert (type(handle), host) == (int, HOST)
    assert 0 < port < 65536


def a_port_is_shared_only_if_both_ask_for_it(bench: Bench) -> None:
    _handle, port = bench.listen()
    assert len(bench.run(Listen(HOST, port, shared=True))) == 3
    assert _is_os_error(bench.run(Listen(HOST, port, shared=False)), "EADDRINUSE")


def an_accept_takes_one_connection_and_the_next_waits_in_the_backlog(bench: Bench) -> None:
    listener, port = bench.listen()
    first, second = bench.run(Connect(HOST, port)), bench.run(Connect(HOST, port))
    one, peer = bench.run(Accept(LISTENER), listener)
    assert ":" in peer
    two, _peer = bench.run(Accept(LISTENER), listener)
    assert len({first, second, one, two, listener}) == 5
    bench.run(Write(STREAM, b"1"), first)
    bench.run(Write(STREAM, b"2"), second)
    assert sorted([bench.read_all(one, 1), bench.read_all(two, 1)]) == [b"1", b"2"]


def a_cancelled_accept_takes_no_connection(bench: Bench) -> None:
    listener, port = bench.listen()
    cancelled = bench.begin(Accept(LISTENER), listener)
    waiting = bench.begin(Accept(LISTENER), listener)
    bench.submit(IoCancel(cancelled))
    near = bench.run(Connect(HOST, port))
    far, _peer = bench.end(waiting)
    bench.run(Write(STREAM, b"x"), near)
    assert bench.read_all(far, 1) == b"x"
    assert not bench.has_ended(cancelled)


def a_connect_or_accept_cancelled_at_once_leaves_nothing_open(bench: Bench) -> None:
    listener, port = bench.listen()
    near = bench.run(Connect(HOST, port))
    accept = bench.request(Accept(LISTENER), listener)
    bench.submit(accept, IoCancel(accept.token))
    connect = bench.request(Connect(HOST, port))
    bench.submit(connect, IoCancel(connect.token))
    # Either the connection was never taken, and is now, or it was taken and closed again.
    bench.submit(IoRelease(listener))
    assert bench.run(Read(STREAM), near) == b"" or _is_os_error(bench.run(Read(STREAM), near), "ECONNRESET")
    assert not bench.has_ended(accept.token)
    assert not bench.has_ended(connect.token)


def closing_a_listener_ends_its_accepts(bench: Bench) -> None:
    listener, _port = bench.listen()
    accept = bench.begin(Accept(LISTENER), listener)
    assert bench.run(Close(LISTENER), listener) is None
    assert bench.end(accept) == NotOwner()


def a_wait_on_the_wrong_kind_of_handle_is_refused(bench: Bench) -> None:
    listener, _port = bench.listen()
    near, _far = bench.pair()
    assert _is_os_error(bench.run(Read(STREAM), listener), "EINVAL")
    assert _is_os_error(bench.run(Accept(LISTENER), near), "EINVAL")
    assert _is_os_error(bench.run(Sync(STREAM), near), "EINVAL")
    assert _is_os_error(bench.run(Truncate(STREAM, 0), near), "EINVAL")


# Files


def a_file_has_what_was_written_to_it(bench: Bench) -> None:
    handle = bench.run(Open("log", "w"))
    assert bench.run(Write(STREAM, b"one "), handle) is None
    assert bench.run(Write(STREAM, b"two"), handle) is None
    assert bench.run(Sync(STREAM), handle) is None
    assert bench.run(Close(STREAM), handle) is None
    assert bench.file_content("log") == b"one two"


def a_file_is_read_in_pieces_to_its_end(bench: Bench) -> None:
    bench.write_file("log", b"abcdef")
    handle = bench.run(Open("log", "r"))
    assert [bench.run(Read(STREAM, 4), handle) for _ in range(4)] == [b"abcd", b"ef", b"", b""]


def appending_begins_at_the_end_and_writing_anew_at_nothing(bench: Bench) -> None:
    bench.write_file("log", b"old")
    handle = bench.run(Open("log", "a"))
    bench.run(Write(STREAM, b"+new"), handle)
    assert bench.file_content("log") == b"old+new"
    bench.write_file("log", b"fresh")
    assert bench.file_content("log") == b"fresh"


def two_appenders_of_a_file_do_not_overwrite_each_other(bench: Bench) -> None:
    one, two = bench.run(Open("log", "a")), bench.run(Open("log", "a"))
    for handle, data in ((one, b"1"), (two, b"2"), (one, b"3")):
        bench.run(Write(STREAM, data), handle)
    assert bench.file_content("log") == b"123"


def reading_and_writing_one_stream_share_its_position(bench: Bench) -> None:
    bench.write_file("log", b"abcdef")
    handle = bench.run(Open("log", "r+"))
    assert bench.run(Read(STREAM, 2), handle) == b"ab"
    assert bench.run(Write(STREAM, b"XY"), handle) is None
    assert bench.run(Read(STREAM, 9), handle) == b"ef"
    assert bench.file_content("log") == b"abXYef"


def a_truncated_file_goes_on_from_the_cut(bench: Bench) -> None:
    bench.write_file("log", b"abcdef")
    for mode in ("r+", "a"):
        handle = bench.run(Open("log", mode))
        assert bench.run(Truncate(STREAM, 2), handle) is None
        assert bench.run(Write(STREAM, b"YZ"), handle) is None
        assert bench.run(Close(STREAM), handle) is None
        assert bench.file_content("log") == b"abYZ"


def what_is_missing_is_told_and_not_made(bench: Bench) -> None:
    for wait in (Open("none", "r"), Open("none", "r+"), Remove("none"), Rename("none", "other"), Open("no/ne", "r")):
        assert _is_os_error(bench.run(wait), "ENOENT"), wait
    assert bench.run(ListFiles()) == ()
    assert bench.run(ListFiles("no/folder")) == ()


def a_rename_replaces_what_had_the_name(bench: Bench) -> None:
    bench.write_file("new", b"new")
    bench.write_file("old", b"old")
    assert bench.run(Rename("new", "old")) is None
    assert bench.run(ListFiles()) == ("old",)
    assert bench.file_content("old") == b"new"


def a_removed_file_is_gone(bench: Bench) -> None:
    bench.write_file("log", b"x")
    assert bench.run(Remove("log")) is None
    assert _is_os_error(bench.run(Open("log", "r")), "ENOENT")


def names_are_listed_sorted_and_of_that_folder_only(bench: Bench) -> None:
    for path in ("b", "a", "c", "sub/d", "sub/deeper/e"):
        bench.write_file(path, b"")
    assert bench.run(ListFiles()) == ("a", "b", "c")
    assert bench.run(ListFiles("sub")) == ("d",)
    assert bench.run(Rename("sub/d", "other/f")) is None
    assert bench.run(ListFiles("other")) == ("f",)


def no_path_leads_out_of_the_data_folder(bench: Bench) -> None:
    bench.write_file("inside", b"")
    outside = ("/etc/hostname", "..", "../x", "sub/../../x")
    for path in outside:
        for wait in (Open(path, "r"), Open(path, "w"), Remove(path), Rename("inside", path), Rename(path, "inside")):
            assert _is_os_error(bench.run(wait), "EACCES"), wait
        assert _is_os_error(bench.run(ListFiles(path)), "EACCES"), path
    assert bench.run(ListFiles()) == ("inside",)


def operations_of_a_file_run_in_the_order_they_were_asked_for(bench: Bench) -> None:
    handle = bench.run(Open("log", "a"))
    requests = [bench.request(wait, handle) for wait in (Write(STREAM, b"abc"), Truncate(STREAM, 1), Close(STREAM))]
    bench.submit(*requests)
    assert [bench.end(request.token) for request in requests] == [None, None, None]
    assert bench.file_content("log") == b"a"


def a_cancelled_read_of_a_file_takes_nothing(bench: Bench) -> None:
    bench.write_file("log", b"abcd")
    handle = bench.run(Open("log", "r"))
    request = bench.request(Read(STREAM, 2), handle)
    bench.submit(request, IoCancel(request.token))
    assert bench.run(Read(STREAM, 2), handle) == b"ab"
    cancelled = bench.begin(Read(STREAM, 2), handle)
    bench.submit(IoCancel(cancelled))
    assert bench.run(Read(STREAM, 2), handle) == b"cd"
    assert not bench.has_ended(cancelled)


def a_stream_serves_only_what_its_mode_allows(bench: Bench) -> None:
    bench.write_file("log", b"abcd")
    reader, writer = bench.run(Open("log", "r")), bench.run(Open("log", "a"))
    assert _is_os_error(bench.run(Write(STREAM, b"x"), reader), "EBADF")
    assert _is_os_error(bench.run(Truncate(STREAM, 0), reader), "EBADF")
    assert _is_os_error(bench.run(Read(STREAM), writer), "EBADF")
    assert bench.file_content("log") == b"abcd"


# Offload


def divide(dividend: int, divisor: int) -> float:
    """The function that the checks offload."""
    return dividend / divisor


def an_offloaded_function_returns_its_value(bench: Bench) -> None:
    assert bench.run(Offload(divide, 6, 3)) == 2.0


def an_offloaded_function_that_raises_tells_type_and_text(bench: Bench) -> None:
    assert bench.run(Offload(divide, 6, 0)) == Raised("ZeroDivisionError", "division by zero")


def an_offloaded_function_must_be_importable(bench: Bench) -> None:
    refused = bench.run(Offload(lambda: 1))
    assert isinstance(refused, Raised)
    assert "lambda" in refused.text
    assert "top level of a module" in refused.text


def the_result_of_a_cancelled_offload_is_dropped(bench: Bench) -> None:
    cancelled = bench.begin(Offload(divide, 6, 3))
    bench.submit(IoCancel(cancelled))
    assert bench.run(Offload(divide, 9, 3)) == 3.0
    assert not bench.has_ended(cancelled)


def what_nobody_asked_for_is_ignored(bench: Bench) -> None:
    bench.submit(IoCancel(1_000_000), IoRelease(1_000_000))
    assert bench.run(Offload(divide, 6, 3)) == 2.0


CHECKS: Final[tuple[Callable[[Bench], None], ...]] = (
    what_one_end_writes_the_other_reads,
    a_read_takes_at_most_its_limit_and_leaves_the_rest,
    a_read_waits_for_the_first_byte,
    a_write_longer_than_any_buffer_arrives_whole_and_in_order,
    an_empty_write_ends_at_once,
    a_peer_that_closes_is_read_as_the_end_after_its_bytes,
    a_waiting_read_ends_empty_when_the_peer_closes,
    writing_to_a_peer_that_is_gone_fails_in_the_end,
    a_second_read_or_write_at_once_is_busy,
    a_cancelled_read_takes_no_byte_and_answers_nothing,
    a_read_cancelled_in_the_pass_that_began_it_takes_no_byte,
    a_cancelled_write_leaves_the_stream_usable,
    a_released_stream_answers_nothing_and_its_peer_reads_the_end,
    closing_ends_what_is_under_way_and_the_handle_is_refused_afterwards,
    a_connect_where_nobody_listens_is_refused,
    a_listener_tells_where_it_is_bound,
    a_port_is_shared_only_if_both_ask_for_it,
    an_accept_takes_one_connection_and_the_next_waits_in_the_backlog,
    a_cancelled_accept_takes_no_connection,
    a_connect_or_accept_cancelled_at_once_leaves_nothing_open,
    closing_a_listener_ends_its_accepts,
    a_wait_on_the_wrong_kind_of_handle_is_refused,
    a_file_has_what_was_written_to_it,
    a_file_is_read_in_pieces_to_its_end,
    appending_begins_at_the_end_and_writing_anew_at_nothing,
    two_appenders_of_a_file_do_not_overwrite_each_other,
    reading_and_writing_one_stream_share_its_position,
    a_truncated_file_goes_on_from_the_cut,
    what_is_missing_is_told_and_not_made,
    a_rename_replaces_what_had_the_name,
    a_removed_file_is_gone,
    names_are_listed_sorted_and_of_that_folder_only,
    no_path_leads_out_of_the_data_folder,
    operations_of_a_file_run_in_the_order_they_were_asked_for,
    a_cancelled_read_of_a_file_takes_nothing,
    a_stream_serves_only_what_its_mode_allows,
    an_offloaded_function_returns_its_value,
    an_offloaded_function_that_raises_tells_type_and_text,
    an_offloaded_function_must_be_importable,
    the_result_of_a_cancelled_offload_is_dropped,
    what_nobody_asked_for_is_ignored,
)
