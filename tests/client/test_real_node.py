"""The client against real nodes: calls from threads, over ipc and tcp, their failures, and what a killed core does."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import regrove
from regrove import Child, Misuse, Name, Sent, UnsendableValue
from regrove.node.client import CallFailed, CallTimeout, ClientClosed, NotConnected, StartedNode, SupervisorRefused
from regrove.node.core import reasons
from regrove.node.core.address import Address
from regrove.supervisor import reasons as exits
from regrove.supervisor.requests import Counts, Running

pytestmark = pytest.mark.processes


def test_a_call_is_answered_and_a_send_is_told_ok(node: StartedNode, application: Any) -> None:
    before = node.call("counter", application.Total())
    assert node.send("counter", application.Bump(1)) is Sent.OK
    assert node.call("counter", application.Add(1)) == before + 2


def test_a_name_is_the_lowest_core_that_holds_it_and_a_core_can_be_named(node: StartedNode, application: Any) -> None:
    assert node.call("counter", application.Where())[0] == 0
    assert node.call(Name("counter", core=1), application.Where())[0] == 1
    assert node.call("second", application.Where())[0] == 1
    assert node.call(Name("second", node="shop"), application.Where())[0] == 1
    assert node.whereis("second") == Name("second", "shop@here", 1)
    assert node.whereis("nobody") is None


def test_settings_arrive_as_texts(node: StartedNode, application: Any) -> None:
    assert node.call("counter", application.Where())[2] == {"port": "6380"}


def test_the_core_runs_in_another_process_that_status_names(node: StartedNode, application: Any) -> None:
    status = node.status()
    assert node.call("second", application.Where())[1] == status["cores"][1]["pid"]
    assert node.pids == (node.manager_pid, *(core["pid"] for core in status["cores"]))


def test_many_threads_call_at_once_and_each_gets_its_own_answers(node: StartedNode, application: Any) -> None:
    def ask(size: int) -> list[int]:
        return [node.call("second", application.Size(b"x" * (size + n)), timeout=30) for n in range(40)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(0, 800, 100)))
    assert answers == [[size + n for n in range(40)] for size in range(0, 800, 100)]


def test_a_large_message_goes_through_and_one_over_the_limit_is_the_callers_mistake(
    node: StartedNode, application: Any
) -> None:
    assert node.call("second", application.Size(b"x" * 3_000_000), timeout=30) == 3_000_000
    with pytest.raises(CallFailed) as caught:
        node.call("second", application.Size(b"x" * 20_000_000))
    assert caught.value.end == "caller"
    assert caught.value.reason == reasons.TooLarge()
    assert node.send("second", application.Size(b"x" * 20_000_000)) is Sent.TOO_LARGE


def test_a_call_waits_for_room_on_its_link_within_its_time(node: StartedNode, application: Any) -> None:
    with regrove.connect(node.control, timeout=30) as fresh, ThreadPoolExecutor(8) as pool:
        large = application.Size(b"x" * 15_000_000)  # two are all the big messages that a link has under way
        asked = [pool.submit(fresh.call, "second", large, 60) for _ in range(6)]
        assert [call.result(60) for call in asked] == [15_000_000] * 6


def test_a_send_on_a_full_link_is_told_at_once(node: StartedNode, application: Any) -> None:
    with regrove.connect(node.control, timeout=30) as fresh:
        big = application.Size(b"x" * 15_000_000)  # two are under way at once; a core needs longer for one than we do
        told = next(sent for sent in (fresh.send("second", big) for _ in range(200)) if sent is not Sent.OK)
        assert told is Sent.LINK_FULL


def test_a_call_that_finds_no_room_in_its_time_says_that_nothing_was_sent(node: StartedNode, application: Any) -> None:
    with regrove.connect(node.control, timeout=30) as fresh:
        large = application.Size(b"x" * 15_000_000)
        assert fresh.call("second", large, timeout=30) == 15_000_000
        node.kill_core(1, signal.SIGSTOP)
        try:
            for _ in range(4):  # two big messages are under way at most: at the third nothing more fits
                with pytest.raises(CallFailed) as caught:
                    fresh.call("second", large, timeout=0.3)
        finally:
            node.kill_core(1, signal.SIGCONT)
        assert caught.value.reason == reasons.LinkFull()
        assert caught.value.end == "link"
        assert "has no credit left, nothing was sent" in str(caught.value)
    assert node.call("second", application.Size(b"ab"), timeout=30) == 2


def test_a_name_nobody_holds_fails_at_once(node: StartedNode, application: Any) -> None:
    began = time.monotonic()
    with pytest.raises(CallFailed, match="'nobody': nobody answers to that") as caught:
        node.call("nobody", application.Total(), timeout=60)
    assert caught.value.reason == exits.NoProcess()
    assert time.monotonic() - began < 30
    assert node.send("nobody", application.Total()) is Sent.STALE


def test_no_answer_in_time_is_a_timeout_and_the_late_answer_reaches_nobody(node: StartedNode, application: Any) -> None:
    with pytest.raises(CallTimeout, match=r"'second': no answer in time \(0.2 s\); it may have run"):
        node.call("second", application.Slow(0.6), timeout=0.2)
    assert node.call("second", application.Size(b"abc"), timeout=30) == 3


def test_a_handler_that_gives_no_answer_says_so_at_once(node: StartedNode, application: Any) -> None:
    with pytest.raises(CallFailed, match=r"gave no answer; return Reply\(value\) from its handler"):
        node.call("second", application.Silent(), timeout=60)


def test_a_crash_is_told_to_its_caller_with_the_place(node: StartedNode, application: Any) -> None:
    with pytest.raises(CallFailed) as caught:
        node.call("second", application.Boom(), timeout=60)
    assert isinstance(caught.value.reason, exits.Crashed)
    assert "client_app.py" in caught.value.reason.site
    assert node.call("counter", application.Size(b"")) == 0


@pytest.mark.parametrize("how", ["connect", "start"])
def test_a_blocking_call_inside_a_handler_is_refused_with_the_mend(
    node: StartedNode, application: Any, how: str
) -> None:
    with pytest.raises(CallFailed) as caught:
        node.call(Name("counter", core=1), application.Block(how), timeout=60)
    assert isinstance(caught.value.reason, exits.Crashed)
    assert caught.value.reason.type == "BlockingCallInHandler"
    assert f"regrove.{how} blocks, and inside a handler" in caught.value.reason.text


def test_what_does_not_travel_is_refused_before_it_leaves(node: StartedNode) -> None:
    with pytest.raises(UnsendableValue, match="does not travel"):
        node.call("counter", object())
    with pytest.raises(UnsendableValue, match="does not travel"):
        node.send("counter", {1, 2})


@pytest.mark.parametrize("timeout", [None, -1, "5", True, float("inf"), float("nan")])
def test_every_call_has_a_deadline(node: StartedNode, timeout: Any) -> None:
    with pytest.raises(Misuse, match="every call of a program has a deadline"):
        node.call("counter", 1, timeout=timeout)


def test_a_target_that_is_none_is_refused(node: StartedNode) -> None:
    with pytest.raises(Misuse, match="a message goes to an Address, a Name or a text, got 5"):
        node.call(5, 1)  # type: ignore[arg-type]


def test_a_supervisor_is_worked_by_methods(node: StartedNode) -> None:
    top = node.supervisor(Name("top", core=1))
    assert [child.id for child in top.which_children()] == ["counter", "second", "pool"]
    assert top.count_children() == Counts(specs=3, active=3, supervisors=1, workers=2)
    address = top.which_children()[1].address
    assert isinstance(address, Address)
    with pytest.raises(SupervisorRefused) as caught:
        top.delete_child("second")
    assert caught.value.error == Running()
    with pytest.raises(SupervisorRefused, match=r"terminate_child at 'top'.*NotFound"):
        top.terminate_child("nobody")
    top.terminate_child("second")
    assert top.count_children().active == 2
    fresh = top.restart_child("second")
    assert isinstance(fresh, Address)
    assert fresh != address


def test_a_supervisor_is_reached_by_its_path_and_grown_from_outside(node: StartedNode, application: Any) -> None:
    pool = node.supervisor("root/pool", core=1)
    address = pool.start_child(Child("extra", application.Counter, 7, name="extra"))
    assert isinstance(address, Address)
    assert node.call("extra", application.Where(), timeout=30)[0] == 1
    assert [child.id for child in pool.which_children()] == ["extra"]
    assert node.supervisor("root/pool").which_children() == ()
    assert node.supervisor("root/", core=0).count_children() == Counts(specs=2, active=2, supervisors=1, workers=1)
    pool.terminate_child(address)
    assert pool.which_children() == ()
    with pytest.raises(CallFailed, match="'root/nobody': nobody answers to that"):
        node.supervisor("root/nobody").which_children()
    with pytest.raises(UnsendableValue, match="only classes of isolates travel"):
        pool.start_child(Child("extra", lambda: None))


def test_a_program_grows_a_supervisor_by_a_child_on_another_core(node: StartedNode, application: Any) -> None:
    pool = node.supervisor("root/pool", core=1)
    address = pool.start_child(Child("far", application.Counter, 7, name="far", core=0))
    assert isinstance(address, Address)
    assert address.core == 0
    assert node.call("far", application.Where(), timeout=30)[0] == 0
    assert pool.which_children()[0].address == address
    assert pool.get_spec(address).core == 0
    with pytest.raises(SupervisorRefused, match="NoConnection"):
        pool.start_child(Child("nowhere", application.Counter, core=9))
    pool.terminate_child(address)
    assert pool.which_children() == ()


def test_an_address_answers_until_its_life_is_over(node: StartedNode, application: Any) -> None:
    top = node.supervisor(Name("top", core=1))
    address = top.which_children()[1].address
    assert node.call(address, application.Size(b"ab")) == 2  # type: ignore[arg-type]
    top.terminate_child("second")
    top.restart_child("second")
    with pytest.raises(CallFailed) as caught:
        node.call(address, application.Size(b"ab"))  # type: ignore[arg-type]
    assert caught.value.reason == exits.NoProcess()
    assert node.call("second", application.Size(b"ab")) == 2


def test_a_client_over_tcp_is_let_in_with_the_users_own_keys(node: StartedNode, application: Any) -> None:
    with regrove.connect(f"tcp://{node.listen}", timeout=30) as cluster:
        assert cluster.call("second", application.Where(), timeout=30)[0] == 1
        assert cluster.members() == ("shop@here",)
        assert cluster.node == "shop@here"


def test_another_clusters_name_is_refused_at_once_with_both_names(node: StartedNode) -> None:
    began = time.monotonic()
    with pytest.raises(NotConnected, match="other cluster: 'bank' dialled 'regrove'"):
        regrove.connect(f"tcp://{node.listen}", cluster="bank", timeout=60)
    assert time.monotonic() - began < 30


def test_without_the_keys_nobody_is_let_in(node: StartedNode) -> None:
    with pytest.raises(NotConnected):
        regrove.connect(f"tcp://{node.listen}", insecure=True, timeout=1.5)


def test_a_closed_cluster_says_so_and_closes_twice(node: StartedNode, application: Any) -> None:
    cluster = regrove.connect(node.control)
    cluster.close()
    cluster.close()
    with pytest.raises(ClientClosed, match=r"inside its `with regrove.connect"):
        cluster.call("counter", application.Total())


def test_closing_fails_a_call_under_way_in_another_thread(node: StartedNode, application: Any) -> None:
    cluster = regrove.connect(node.control)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cluster.call, "second", application.Slow(30.0), 60)
        _until_under_way(cluster)
        cluster.close()
        with pytest.raises(ClientClosed):
            waiting.result(30)
    node.supervisor(Name("top", core=1)).terminate_child("second", timeout=30)
    node.supervisor(Name("top", core=1)).restart_child("second", timeout=30)


def test_a_cluster_that_was_forgotten_ends_its_thread(node: StartedNode) -> None:
    cluster = regrove.connect(node.control)
    thread = cluster._bridge._thread
    del cluster
    thread.join(30)
    assert not thread.is_alive()


def test_asyncio_calls_run_at_once_and_leave_the_loop_free(node: StartedNode, application: Any) -> None:
    async def work() -> tuple[list[int], int, Any]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        async with regrove.connect_async(node.control) as cluster:
            asked = [cluster.call("second", application.Size(b"x" * n), timeout=30) for n in range(5)]
            sizes = await asyncio.gather(*asked)
            await cluster.call("second", application.Slow(0.2), timeout=30)
            place = await cluster.whereis("second")
        ticking.cancel()
        return list(sizes), ticks, place

    sizes, ticks, place = asyncio.run(work())
    assert sizes == [0, 1, 2, 3, 4]
    assert ticks > 2
    assert place == Name("second", "shop@here", 1)


def test_a_killed_core_fails_the_call_under_way_at_once_and_the_next_life_is_found(application: Any) -> None:
    with regrove.start("client_app:app", cores=2) as node:
        before = node.call("second", application.Where(), timeout=30)
        results: list[object] = []

        def wait() -> None:
            try:
                results.append(node.call("second", application.Slow(60.0), timeout=120))
            except CallFailed as problem:
                results.append(problem.reason)

        waiting = threading.Thread(target=wait)
        waiting.start()
        _until_under_way(node.cluster)
        node.supervisor(Name("top", core=1)).which_children()  # its answer comes after what was sent before it had left
        began = time.monotonic()
        assert node.kill_core(1) == before[1]
        waiting.join(60)
        assert results == [exits.NoConnection()]
        assert time.monotonic() - began < 30
        assert node.call("counter", application.Where(), timeout=30)[0] == 0
        again = _answer_after(node, "second", application.Where())
        assert again[0] == 1
        assert again[1] != before[1]
        status = node.status()
        assert status["cores"][1]["restarts"] == 1
        assert "SIGKILL" in status["cores"][1]["last_exit"]


def test_a_core_killed_again_and_again_under_calls_is_always_found_again(application: Any) -> None:
    with regrove.start("client_app:app", cores=2, core_restarts="20/60s") as node:
        stop = threading.Event()
        wrong: list[object] = []
        done = [0]

        def ask() -> None:
            while not stop.is_set():
                try:
                    if node.call("second", application.Size(b"abc"), timeout=30) != 3:
                        wrong.append("another answer")
                    done[0] += 1
                except CallFailed as problem:
                    if not isinstance(problem.reason, reasons.Unreachable | exits.NoConnection | exits.NoProcess):
                        wrong.append(problem)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for life in (2, 3, 4):
            node.kill_core(1)
            node.wait_until(lambda s, life=life: _lives(s) == (life, "up"), timeout=60)  # type: ignore[misc]
            seen = done[0]
            node.wait_until(lambda _s, seen=seen: done[0] > seen + 20, timeout=60)  # type: ignore[misc]
        stop.set()
        for thread in threads:
            thread.join(60)
        assert wrong == []


def _lives(status: dict[str, Any]) -> tuple[int, str]:
    return status["cores"][1]["incarnation"], status["cores"][1]["state"]


def _until_under_way(cluster: regrove.Cluster) -> None:
    """A call that another thread makes has begun: the one thing that only looking again can tell."""
    deadline = time.monotonic() + 60
    while cluster._bridge.inspect(lambda desk: desk.under_way, deadline) == 0:
        assert time.monotonic() < deadline, "the call never began"
        time.sleep(0.01)


def _answer_after(node: StartedNode, target: str, request: object) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            return node.call(target, request, timeout=30)
        except CallFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
