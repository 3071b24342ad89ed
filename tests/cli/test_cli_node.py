"""The command line against real nodes: status, tree, call, members, links, stop, start, up, each as its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import regrove
from regrove.node.client import StartedNode
from tests.process.handing import hand_to_another_thread

pytestmark = pytest.mark.processes

APPLICATION = """
from regrove import RECEIVE, Application, Child, Isolate, Reply, Supervisor, message

@message
class Add:
    amount: int

@message
class Pair:
    left: object
    right: object

class Counter(Isolate):
    def __init__(self):
        self.total = 0

    def handle(self, ctx, message):
        match message:
            case Add(amount):
                self.total += amount
                return Reply(self.total)
            case "core":
                return Reply((ctx.place.core, dict(ctx.place.settings)))
            case _:
                return Reply(message)

def tree(place):
    return Supervisor("root", [Child("counter", Counter, name="counter")])

app = Application("counted", tree=tree)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    (made / "cli_counted.py").write_text(APPLICATION)
    return made


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[StartedNode]:
    here = os.getcwd()
    os.chdir(folder)
    try:
        with regrove.start("cli_counted:app", cores=2, name="shop@here", listen="127.0.0.1:0") as it:
            yield it
    finally:
        os.chdir(here)


class Shell:
    """Runs commands in the application's folder, where they see one runtime folder only."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "REGROVE_RUNTIME_DIR": str(runtime)}
        self.environment.pop("XDG_RUNTIME_DIR", None)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "regrove", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        process = self.popen(*arguments)
        out, err = process.communicate(stdin, timeout=90)
        return process.returncode, out, err


@pytest.fixture
def shell(folder: Path, node: StartedNode) -> Shell:
    return Shell(folder, node.runtime_dir)


def test_status_of_a_ready_node_is_zero_for_people_and_as_json(shell: Shell, node: StartedNode) -> None:
    code, out, err = shell("status")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"shop@here is up (manager pid {node.manager_pid})"
    assert lines[1].split() == ["core", "state", "pid", "restarts", "isolates", "memory"]
    assert [line.split()[:2] for line in lines[2:4]] == [["0", "up"], ["1", "up"]]
    assert all(line.startswith("  cores are pinned to CPUs: ") for line in lines[4:])  # where this machine has the CPUs
    code, out, _ = shell("status", "--json", "--node", "shop")
    shape = json.loads(out)
    assert code == 0
    assert list(shape)[:5] == ["node", "state", "cores", "manager", "agent"]
    fixed = ["core", "pid", "state", "incarnation", "restarts", "last_exit", "isolates", "rss"]
    assert list(shape["cores"][0])[:8] == fixed
    assert shell("status", "--live") == (0, "", "")
    assert shell("status", "--ready") == (0, "", "")


def test_tree_shows_every_core(shell: Shell) -> None:
    code, out, err = shell("tree")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "shop@here"
    assert len(re.findall(r"^    root +one_for_one, 1 of 1 child running$", out, re.MULTILINE)) == 2
    assert len(re.findall(r"^      counter +Counter, ", out, re.MULTILINE)) == 2
    code, out, _ = shell("tree", "--json")
    shape = json.loads(out)
    assert [core["core"] for core in shape["cores"]] == [0, 1]
    assert [row["path"] for row in shape["cores"][0]["rows"]] == ["root", "root/counter"]


def test_call_sends_a_literal_and_prints_the_answer(shell: Shell) -> None:
    assert shell("call", "counter", "cli_counted:Add(amount=2)", "--core", "1") == (0, "2\n", "")
    assert shell("call", "counter@shop", "cli_counted:Pair('a', (1, None))") == (
        0,
        "Pair(left='a', right=(1, None))\n",
        "",
    )
    assert shell("call", "counter", "'core'", "--core", "1") == (0, "(1, {})\n", "")


def test_call_takes_json_from_stdin_and_prints_json(shell: Shell) -> None:
    document = {"$message": "cli_counted:Pair", "left": {"$tuple": [1, {"$bytes": "AAE="}]}, "right": {"k": []}}
    code, out, err = shell("call", "counter", "-", "--json", stdin=json.dumps(document))
    assert (code, err) == (0, "")
    assert json.loads(out) == document


def test_call_reaches_a_node_by_its_listen_address(shell: Shell, node: StartedNode) -> None:
    assert shell("call", "counter", "'core'", "--connect", node.listen) == (0, "(0, {})\n", "")


def test_call_speaks_with_the_keys_of_the_nodes_or_without_any(folder: Path, tmp_path: Path) -> None:
    keys, shell = str(tmp_path / "shop.key"), Shell(folder, tmp_path / "run")
    assert shell("keygen", keys)[0] == 0
    for given in (["--keys", keys], ["--insecure"]):
        with running(shell, "cli_counted:app", "--cores", "1", "--listen", "127.0.0.1:0", *given) as process:
            address = wait_for(process, "is up").partition("listening on ")[2].partition(";")[0]
            assert shell("call", "counter", "[7]", "--connect", address, *given) == (0, "[7]\n", "")
            process.terminate()
            process.communicate(timeout=90)


def test_a_failed_call_is_one_sentence_with_its_mend(shell: Shell) -> None:
    assert shell("call", "nobody", "1") == (
        1,
        "",
        "regrove: 'nobody': nobody answers to that; check the name in `regrove tree`, or look the address up again\n",
    )


def test_links_shows_the_links_between_the_cores(shell: Shell) -> None:
    code, out, _ = shell("links", "--json")
    shape = json.loads(out)
    assert code == 0
    assert shape["missing"] == []
    peers = {(core["core"], link["peer"].rpartition("/")[2]) for core in shape["cores"] for link in core["links"]}
    assert peers >= {(0, "1.1"), (1, "0.1")}
    code, out, _ = shell("links")
    assert code == 0
    assert re.search(r"^0 +shop@here\.\d+/1\.1 +up ", out, re.MULTILINE)


def test_members_lists_the_node_itself(shell: Shell, node: StartedNode) -> None:
    code, out, _ = shell("members", "--json")
    members = json.loads(out)["members"]
    assert code == 0
    assert [(member["name"], member["state"], member["address"]) for member in members] == [
        ("shop@here", "up", node.listen)
    ]


def test_config_shows_each_value_and_where_it_came_from(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    shell.environment["REGROVE_DRAIN_LIMIT"] = "7s"
    arguments = ("--cores", "1", "--name", "one@here", "--data-ports", "17500-17510", "--set", "a=1", "b=2")
    with running(shell, "cli_counted:app", *arguments) as process:
        wait_for(process, "is up")
        code, out, err = shell("config")
        assert (code, err) == (0, "")
        assert out.splitlines()[0].split() == ["key", "value", "from"]
        rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in out.splitlines()[1:]}
        assert rows["cores"] == ["1", "--cores"]
        assert rows["data_ports"] == ["17500-17510", "--data-ports"]
        assert rows["drain_limit"] == ["7.0", "REGROVE_DRAIN_LIMIT"]
        assert rows["settings"] == ["a=1,b=2", "--set"]
        assert rows["keys"] == ["-", "default"]
        assert rows["debug"] == ["false", "default"]
        code, out, _ = shell("config", "--json")
        values = {row["key"]: (row["value"], row["origin"]) for row in json.loads(out)["values"]}
        assert (code, values["name"], values["cores"]) == (0, ("one@here", "--name"), (1, "--cores"))


def test_events_follow_a_node_until_it_ends(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "--cores", "1", "--name", "one@here") as process:
        wait_for(process, "is up")
        with running(shell, "-f", "--json", command="events") as follower, running(shell, "-f", command="events") as it:
            for each in (follower, it):
                assert each.stderr is not None
                assert each.stderr.readline() == "following one@here\n"  # from here on nothing is missed
            core = json.loads(shell("status", "--json")[1])["cores"][0]
            os.kill(core["pid"], signal.SIGKILL)
            ended = json.loads(wait_for(follower, "SIGKILL"))
            assert (ended["node"], ended["core"]) == ("one@here", 0)
            assert list(ended)[:3] == ["at", "level", "event"]
            assert re.match(r"\d\d:\d\d:\d\d\.\d{3} \w+ +\w", wait_for(it, "SIGKILL"))
            assert shell("stop", "--now")[0] == 0
            for each in (follower, it):
                _, err = each.communicate(timeout=90)
                assert (each.returncode, err) == (0, "")


def test_a_prompt_has_the_cluster_connected_and_the_modules_of_the_folder(shell: Shell) -> None:
    lines = [
        "import cli_counted",
        "print('total', cluster.call(Name('counter', core=0), cli_counted.Add(0)) >= 0)",
        "print([child.id for child in cluster.supervisor('root/').which_children()], cluster.members())",
        "1/0",
        "print('still', cluster.node)",
        "",
    ]
    code, out, err = shell("shell", stdin="\n".join(lines))
    assert code == 0
    assert "connected to shop@here. Try:" in err
    assert re.search(r"^(>>> )*total True$", out, re.MULTILINE)
    assert "['counter'] ('shop@here',)" in out
    assert "ZeroDivisionError" in err
    assert re.search(r"^(>>> )*still shop@here$", out, re.MULTILINE)


def test_a_prompt_ends_with_the_code_it_is_given_and_the_node_goes_on(shell: Shell) -> None:
    assert shell("shell", "--node", "shop", stdin="exit(3)\n")[0] == 3
    assert shell("shell", stdin="exit()\n")[0] == 0
    code, _, err = shell("shell", stdin="raise SystemExit('enough')\n")
    assert (code, err.splitlines()[-1]) == (1, "enough")
    assert shell("status")[0] == 0


def test_a_prompt_reaches_a_node_by_its_listen_address(shell: Shell, node: StartedNode) -> None:
    code, out, _ = shell("shell", "--connect", node.listen, stdin="print(cluster.call('counter', 'core'))\n")
    assert (code, "(0, {})" in out) == (0, True)


def test_events_without_follow_end_with_the_timeout(shell: Shell) -> None:
    assert shell("events", "--timeout", "0.5") == (0, "", "following shop@here\n")


def test_a_wrong_node_is_told_which_one_there_is(shell: Shell) -> None:
    code, _, err = shell("call", "counter", "1", "--node", "bank")
    assert code == 69
    assert err == (
        "regrove: no node named bank runs here, but shop@here; name one of those, or start it with `regrove start`\n"
    )


@contextmanager
def running(shell: Shell, *arguments: str, command: str = "start") -> Iterator[subprocess.Popen[str]]:
    """A foreground command; whatever the test did, it has ended afterwards, and its nodes with it."""
    with shell.popen(command, *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Read lines of its output until one fits; fails with what came when it ends first."""
    assert process.stdout is not None
    seen = []
    limit = threading.Timer(60, process.kill)  # then its output ends, and the loop with it
    limit.start()
    try:
        for line in process.stdout:
            seen.append(line)
            if re.search(pattern, line):
                return line
    finally:
        limit.cancel()
    raise AssertionError(f"{pattern!r} never came: {''.join(seen)}")


def test_start_says_it_is_up_and_what_to_try_and_stop_ends_it(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "--cores", "1", "--name", "one@here", "--set", "a=1", "b=2") as process:
        line = wait_for(process, "is up")
        assert line.startswith("one@here is up with 1 core; try `regrove status`")
        assert shell("call", "counter", "'core'") == (0, "(0, {'a': '1', 'b': '2'})\n", "")
        assert shell("start", "cli_counted:app", "--name", "one@here")[0] == 1
        assert shell("stop") == (0, "one@here has stopped\n", "")
        process.communicate(timeout=90)
        assert process.returncode == 0
    assert shell("status")[0] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_started_node_in_order(folder: Path, tmp_path: Path, number: int) -> None:
    with running(Shell(folder, tmp_path / "run"), "cli_counted:app", "--cores", "1") as process:
        wait_for(process, "is up")
        process.send_signal(number)
        _, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- <&-"])
def test_a_node_does_not_need_its_standard_output(folder: Path, tmp_path: Path, redirection: str) -> None:
    command = [sys.executable, "-m", "regrove", "start", "cli_counted:app", "--cores", "1"]
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        cwd=folder,
        env=Shell(folder, tmp_path / "run").environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        limit = threading.Timer(60, process.kill)  # then its output ends, and the loop with it
        limit.start()
        written = []
        for line in process.stderr:
            written.append(line)
            if '"node up"' in line:
                process.terminate()
        limit.cancel()
    assert process.returncode == 0
    assert [line for line in written if not line.startswith("{")] == []


def test_an_application_that_is_not_there_is_said_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    code, out, err = Shell(folder, tmp_path / "run")("start", "cli_countde:app", "--cores", "1")
    assert (code, out) == (64, "")
    assert err.splitlines()[-1].startswith("regrove: ")
    assert "there is no module 'cli_countde'" in err
    assert "did you mean cli_counted?" in err
    assert "Traceback" not in err


def test_up_runs_a_cluster_whose_lines_carry_their_node_and_ends_with_one_signal(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "-n", "2", "--cores", "1", command="up") as process:
        line = wait_for(process, r"^up +\| ")
        assert "node1@localhost, node2@localhost are up" in line
        assert _members(shell, 2) == [("node1@localhost", "up"), ("node2@localhost", "up")]
        assert shell("call", "counter@node2", "cli_counted:Add(7)", "--node", "node1") == (0, "7\n", "")
        assert shell("status")[0] == 2
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Traceback" not in out + err
    assert re.search(r"^node1 +\| .*node stopping", out, re.MULTILINE)


def to_the_process(pid: int, number: int) -> None:
    """As a person's Ctrl-C comes: the kernel takes the main thread when it can."""
    os.kill(pid, number)


@pytest.mark.parametrize("hand", [to_the_process, hand_to_another_thread])
def test_up_that_waits_for_a_slow_start_ends_with_one_signal(
    folder: Path, tmp_path: Path, hand: Callable[[int, int], None]
) -> None:
    importing = "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    (folder / "cli_slow_import.py").write_text(importing)
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_slow_import:app", "-n", "2", "--cores", "1", command="up") as process:
        wait_for(process, "importing")
        hand(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert (process.returncode, out, err) == (0, "", "")
    assert shell("status")[0] == 2


def test_up_runs_on_when_nobody_reads_what_it_says(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "-n", "2", "--cores", "1", command="up") as process:
        wait_for(process, "node1 +\\|")
        assert process.stdout is not None
        process.stdout.close()
        assert _members(shell, 2) == [("node1@localhost", "up"), ("node2@localhost", "up")]
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(90) == 0
    assert err == ""


def test_up_takes_two_signals_at_once_for_one_wish(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "-n", "1", "--cores", "1", command="up") as process:
        wait_for(process, r"^up +\| ")
        for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            process.send_signal(number)
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "stopped in order" in out


def test_up_takes_a_signal_that_another_thread_is_handed(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    with running(shell, "cli_counted:app", "-n", "1", "--cores", "1", command="up") as process:
        wait_for(process, r"^up +\| ")
        hand_to_another_thread(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "stopped in order" in out


def test_up_that_was_started_with_its_interrupt_ignored_leaves_it_so(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder, tmp_path / "run")
    line = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "regrove", "up", "cli_counted:app"]
    line += ["-n", "1", "--cores", "1"]
    with subprocess.Popen(
        line, cwd=folder, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(process, r"^up +\| ")
        process.send_signal(signal.SIGINT)
        assert shell("call", "counter", "'core'")[0] == 0
        assert not [row for row in status_of(process.pid) if row.startswith("SigCgt") and int(row.split()[1], 16) & 2]
        process.terminate()
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "stopped in order" in out


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_up_with_an_application_that_is_not_there_ends_with_one_sentence(folder: Path, tmp_path: Path) -> None:
    code, out, err = Shell(folder, tmp_path / "run")("up", "cli_countde:app", "-n", "2", "--cores", "1")
    assert code == 64
    assert err.startswith("regrove: 'cli_countde:app': there is no module 'cli_countde'")
    assert "Traceback" not in out + err


def _members(shell: Shell, count: int) -> list[tuple[str, str]]:
    deadline = time.monotonic() + 60
    while True:
        members = json.loads(shell("members", "--json", "--node", "node1")[1])["members"]
        found = [(member["name"], member["state"]) for member in members]
        if len(found) >= count or time.monotonic() > deadline:
            return found
