"""SIGHUP: what of the configuration file a running node takes up, what needs a restart, and what it says of each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from regrove.node.process.configuration import READERS, ConfigError, Resolved, resolve
from regrove.node.process.page import Reading
from regrove.node.process.reloading import LIVE, changes, taken_up
from regrove.node.process.watchdog import SLOW_AFTER, CoreWatch, Facts, Slow, Stalled
from regrove.transport.keys import store_pair
from regrove.transport.zeromq import make_pair

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

MILLISECOND = 1_000_000
ENV = {"HOME": "/u", "REGROVE_STALL_KILL": "7s"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def started(file: Path, text: str, **flags: object) -> Resolved:
    file.write_text(f'app = "m:a"\nname = "one@h"\ncores = 2\n{text}')
    return resolve(flags, ENV, file)


def again(running: Resolved, file: Path, text: str) -> Resolved:
    file.write_text(f'app = "m:a"\nname = "one@h"\n{text}')
    assert running.again is not None
    return running.again()


def test_what_the_file_changes_is_told_with_both_values_and_whether_it_is_taken_up(file: Path) -> None:
    running = started(file, 'log_level = "info"\ndrain_limit = "5s"\n[settings]\na = "1"\n')
    found = again(running, file, 'cores = 3\nlog_level = "debug"\nmemory = "1G"\n[settings]\na = "2"\n')
    told = {change.key: (change.running, change.found, change.live) for change in changes(running, found)}
    assert told == {
        "cores": (2, 3, False),
        "settings": ((("a", "1"),), (("a", "2"),), False),
        "drain_limit": (5.0, 20.0, True),  # the line is gone: the default is back
        "log_level": ("info", "debug", True),
        "memory": (None, 1 << 30, True),
    }


def test_a_flag_and_a_variable_win_over_the_file_again(file: Path) -> None:
    running = started(file, 'log_level = "info"\nstall_kill = "1s"\n', log_level="error")
    found = again(running, file, 'cores = 2\nlog_level = "debug"\nstall_kill = "2s"\n')
    assert changes(running, found) == []
    assert (found.config.log_level, found.config.stall_kill) == ("error", 7.0)


def test_what_runs_then_has_the_new_values_of_the_live_keys_alone_and_differs_in_the_others_still(file: Path) -> None:
    running = started(file, "")
    found = again(running, file, 'cores = 3\nquarantine = "stay"\n')
    now = taken_up(running, changes(running, found))
    assert (now.config.cores, now.config.quarantine) == (2, "stay")
    assert now.origins["quarantine"] == str(file)
    assert [(change.key, change.live) for change in changes(now, found)] == [("cores", False)]


def test_what_the_machine_or_another_key_decides_is_no_change_of_the_file(file: Path, tmp_path: Path) -> None:
    running = started(file, "")
    found = again(running, file, f'cores = 2\nstate_dir = "{tmp_path}"\n')
    assert found.config.data_dir != running.config.data_dir
    assert [change.key for change in changes(running, found)] == ["state_dir"]


def test_a_file_with_one_bad_value_is_refused_as_a_whole(file: Path) -> None:
    running = started(file, "")
    with pytest.raises(ConfigError, match="quarantine = 'no'"):
        again(running, file, 'drain_limit = "1s"\nquarantine = "no"\n')
    with pytest.raises(ConfigError, match="it is not TOML"):
        again(running, file, "drain_limit = \n")


def test_every_live_key_is_a_key() -> None:
    assert set(LIVE) < set(READERS)


def test_a_core_that_is_watched_is_judged_by_the_new_limit() -> None:
    watch = CoreWatch(0, None)
    at, verdicts = 0, []
    for step in range(40):
        at = (step + 1) * 10 * MILLISECOND
        said, judge = watch.look(at, 0, Reading(1, 1, 1))
        verdicts += said + (watch.judge(at, Facts("R", at, 0)) if judge else [])
    assert [type(verdict) for verdict in verdicts] == [Slow]
    watch.stall_kill = 2 * SLOW_AFTER
    watch.look(at + MILLISECOND, 0, Reading(1, 1, 1))
    assert [type(verdict) for verdict in watch.judge(at + MILLISECOND, Facts("R", at + MILLISECOND, 0))] == [Stalled]


@pytest.mark.processes
def test_a_hangup_without_a_terminal_reads_the_file_again(start_node: StartNode, file: Path) -> None:
    file.write_text('log_level = "info"\ncore_restarts = "0/30s"\n')
    node = start_node(cores=2, config_file=str(file))
    node.wait_line("node up")
    file.write_text('log_level = "loud"\ncore_restarts = "5/30s"\n')
    node.process.send_signal(signal.SIGHUP)
    assert "log_level = 'loud'" in node.wait_line("reload refused")["problem"]
    file.write_text('log_level = "debug"\ncore_restarts = "5/30s"\ndrain_limit = "3s"\npin = "off"\n')
    node.process.send_signal(signal.SIGHUP)
    told = [node.wait_line("configuration changed") for _ in range(3)]
    assert [(line["key"], line["before"], line["value"], line["from"]) for line in told] == [
        ("drain_limit", 20.0, 3.0, str(file)),
        ("core_restarts", "0/30s", "5/30s", str(file)),
        ("log_level", "info", "debug", str(file)),
    ]
    refused = node.wait_line("configuration needs a restart")
    assert (refused["key"], refused["running"], refused["value"]) == ("pin", "auto", "off")
    done = node.wait_line("reloaded")
    assert (done["changed"], done["not"]) == (3, 1)
    with node.control() as control:
        values = {row["key"]: row["value"] for row in control.ask("config")["values"]}
    assert (values["drain_limit"], values["core_restarts"], values["pin"]) == (3.0, "5/30s", "auto")
    os.kill(node.core_pids()[0], signal.SIGKILL)
    node.wait_line("core replaced", core=0)  # with 0/30s it would be quarantined
    node.wait_line("core up", core=0, incarnation=2)
    node.process.send_signal(signal.SIGTERM)
    assert node.wait_line("node stopping")["limit_s"] == 3
    assert node.wait() == 0


@pytest.mark.processes
def test_another_key_file_is_told_to_need_a_start(start_node: StartNode, file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "shop.key"
    store_pair(make_pair(), keys)
    file.write_text(f'keys = "{keys}"\nlisten = "127.0.0.1:0"\n')
    node = start_node(cores=1, config_file=str(file))
    node.wait_line("node up")
    keys.unlink()
    store_pair(make_pair(), keys)
    node.process.send_signal(signal.SIGHUP)
    line = node.wait_line("configuration needs a restart")
    assert (line["key"], "another pair" in line["why"]) == ("keys", True)
    assert node.wait_line("reloaded")["changed"] == 0


@pytest.mark.processes
def test_a_node_that_was_started_without_a_file_says_that_there_is_none(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    node.process.send_signal(signal.SIGHUP)
    assert "without a file" in node.wait_line("nothing to reload")["why"]
    assert node.status()["state"] == "up"
