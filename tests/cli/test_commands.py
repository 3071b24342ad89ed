"""The command line without a node: help, usage errors, exit codes, and one sentence with its mend for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.node.cli import main
from regrove.node.cli.group import COMMANDS

APP = """
from regrove import Application, Bounds, Child, Isolate, Supervisor

class Worker(Isolate):
    pass

def tree(place):
    return Supervisor("root", [Child(f"w{n}", Worker) for n in range(int(place.settings.get("workers", "1")))])

def leaving(place):
    raise SystemExit(3)

def twins(place):
    return Supervisor("root", [Child("w", Worker), Child("w", Worker)])

app = Application("checked", tree=tree)
twin = Application("twins", tree=twins)
exits = Application("exits", tree=leaving)
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node of this machine is seen, and the working folder holds an application."""
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "REGROVE_DEBUG", "REGROVE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGROVE_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "app_of_check.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


Captured = pytest.CaptureFixture[str]


def complaint(capsys: Captured, *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    return code, capsys.readouterr().err


STOPPED_BY = """
import os, signal, sys
print("interrupted", flush=True)
os.kill(os.getpid(), signal.SIGINT)
print("went on", flush=True)
raise ImportError("this is not the module that was meant")
"""
PROGRAM = "import sys\nfrom regrove.node.cli import main\nsys.exit(main())\n"  # what pip installs as `regrove`


@pytest.mark.parametrize("imported", ["msgpack", "click"])  # the first one, and the last one before a command
@pytest.mark.parametrize("command", [["-m", "regrove"], ["regrove"]])
def test_an_interrupt_while_the_command_imports_ends_it_with_130_and_no_traceback(
    imported: str, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "stops").mkdir()
    (tmp_path / "stops" / f"{imported}.py").write_text(STOPPED_BY)
    (tmp_path / "regrove").write_text(PROGRAM)
    environ = os.environ | {"PYTHONPATH": f"{tmp_path / 'stops'}:{':'.join(filter(None, sys.path))}"}
    line = [sys.executable, *command, "--version"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "interrupted\n", "")


def test_a_program_that_imports_regrove_gets_its_interrupt(tmp_path: Path) -> None:
    code = (
        "import regrove, os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('caught')\n"
    )
    (tmp_path / "regrove_user.py").write_text(code)
    line = [sys.executable, str(tmp_path / "regrove_user.py")]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=with_path(), timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "caught\n", "")


def test_a_worker_process_of_the_command_leaves_interrupts_as_they_are() -> None:
    code = (
        "import sys; sys.argv[0] = '/bin/regrove'; import regrove, signal; "  # as multiprocessing does
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    line = [sys.executable, "-c", f"{code}  # regrove"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=with_path(), timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def with_path() -> dict[str, str]:
    """The environment, with modules found where this process finds them."""
    return os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))}


def test_help_lists_every_command_and_imports_none_of_them(tmp_path: Path) -> None:
    script = (
        "import sys; from regrove.node.cli import main; code = main(['--help']); "
        "heavy = [name for name in ('zmq', 'structlog', 'asyncio', 'msgpack.fallback', 'regrove.node.cli.running') "
        "if name in sys.modules]; print('heavy', heavy); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("heavy []")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def completed(words: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> list[str]:
    monkeypatch.setenv("_REGROVE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    return [line.removeprefix("plain,") for line in capsys.readouterr().out.splitlines()]


def test_the_shell_completes_commands_and_options(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("regrove st", monkeypatch, capsys) == ["start", "status", "stop"]
    assert completed("regrove status --j", monkeypatch, capsys) == ["--json"]


@pytest.mark.parametrize("style", ["zsh", "fish"])
def test_the_line_for_the_shell_is_what_help_says(
    style: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert 'eval "$(_REGROVE_COMPLETE=bash_source regrove)"' in shown
    assert f"{style}_source" in shown
    monkeypatch.setenv("_REGROVE_COMPLETE", f"{style}_source")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert f"_REGROVE_COMPLETE={style}_complete" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: Captured) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: regrove {command} ")


def test_no_command_shows_the_help_and_counts_as_usage_error(capsys: Captured) -> None:
    assert main([]) == 64


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bogus"], "no such command 'bogus'; see `regrove --help`"),
        (["status", "--bogus"], "--bogus"),
        (["call", "x"], "missing argument 'REQUEST'; see `regrove call --help`"),
        (["call", "@shop", "1"], "'@shop' names no isolate; write NAME or NAME@NODE, for example ledger@shop; see "),
        (
            ["call", "x", "1", "--node", "a", "--connect", "b:1"],
            "--node and --connect both say where; give one of them",
        ),
        (
            ["call", "x", "1", "--connect", "foo"],
            "--connect 'foo': it is HOST:PORT with a port from 0 to 65535; write ",
        ),
        (["shell", "--connect", "tcp://h:99999"], "--connect 'tcp://h:99999': it is HOST:PORT with a port from 0"),
        (
            ["call", "x", "1", "--connect", "10.0.0.1:1"],
            "10.0.0.1:1 is beyond this machine, where nodes are spoken to with ",
        ),
        (["call", "x", "1", "--keys", "f"], "--keys, --insecure and --cluster are for --connect; leave them out, or "),
        (
            ["call", "x", "1", "--connect", "h:1", "--keys", "f", "--insecure"],
            "--keys and --insecure exclude each other; give the one the nodes were started with",
        ),
        (["shell", "--node", "a", "--connect", "b:1"], "--node and --connect both say where; give one of them"),
        (["call", "x", "bank:Add("], "the text ends where a value should stand at character 10"),
        (["call", "x", "nowhere_at_all:Add()"], "there is no module 'nowhere_at_all'"),
        (["start", "a:b", "--set", "port"], "'port' is not KEY=VALUE; write --set port=6380, or leave it out"),
        (["start", "a:b", "--set", "a=1", "a=2"], "--set gives 'a' twice; give each setting once"),
        (["start", "a:b", "--set", "a=1", "b"], "'b' is not KEY=VALUE"),
        (["start", "a:b", "--cores", "0"], "cores = '0' (from --cores): it is a whole number from 1 to 1024"),
        (["start"], "the application is missing; write for example `regrove start shop:app`"),
        (
            ["start", "a:b", "--config", "none.toml"],
            "there is no such file; give the path of a TOML file with --config",
        ),
        (["check", "app_of_check:nothing"], "module app_of_check has no 'nothing'; did you mean app_of_check:app"),
        (["check", "no_such_module:app"], "there is no module 'no_such_module'"),
        (["status", "--connect", "h:1"], "speaks to the manager on its own machine; run it there, with --node NAME"),
        (["up", "a:b", "-n", "0"], "invalid value for '-n' / '--nodes': 0 is not in the range 1<=x<=64"),
    ],
)
def test_usage_errors_exit_64_with_one_sentence_and_its_mend(arguments: list[str], text: str, capsys: Captured) -> None:
    code, err = complaint(capsys, *arguments)
    assert code == 64
    assert err.startswith("regrove: ")
    assert text in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["tree"], ["members"], ["links"], ["config"], ["events", "-f"], ["shell"], ["stop"], ["call", "x", "1"]]
)
def test_without_a_node_commands_say_where_they_looked_and_exit_69(command: list[str], capsys: Captured) -> None:
    code, err = complaint(capsys, *command)
    assert code == 69
    assert err.startswith("regrove: no node runs here (searched ")
    assert "start one with `regrove start module:app`" in err


def test_status_without_a_node_is_down(capsys: Captured) -> None:
    code, err = complaint(capsys, "status", "--node", "shop@here")
    assert code == 2
    assert err.startswith("regrove: no node named shop@here runs here")


def test_nobody_behind_connect_is_said_with_the_address(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(Path.cwd() / "state"))
    code, err = complaint(capsys, "call", "x", "1", "--connect", "127.0.0.1:1", "--timeout", "0.3")
    assert code == 69
    assert err.startswith("regrove: no connection to tcp://127.0.0.1:1: ")
    assert "(waited 0.3 s)" in err


def test_check_counts_supervisors_and_children_and_prints_the_sum_of_the_bounds(capsys: Captured) -> None:
    assert main(["check", "app_of_check:app", "--cores", "2", "--set", "workers=3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "checked: 2 trees built, every spec is valid"
    assert out[1].split() == ["core", "role", "supervisors", "children"]
    assert out[2].split() == ["0", "-", "1", "3"]
    assert out[3].split() == ["1", "-", "1", "3"]
    assert out[-1].split()[0] == "sum"


def test_check_as_json_has_the_documented_shape(capsys: Captured) -> None:
    assert main(["check", "app_of_check:app", "--cores", "1", "--json", "--memory", "2G"]) == 0
    shape = json.loads(capsys.readouterr().out)
    assert set(shape) == {"application", "version", "cores", "memory", "sum", "limit"}
    assert shape["cores"] == [{"core": 0, "role": "", "supervisors": 1, "children": 1}]
    assert shape["sum"] == sum(shape["memory"].values())
    assert shape["limit"] == 2 << 30


def test_check_refuses_bounds_over_the_memory_limit_with_the_sum(capsys: Captured) -> None:
    code, err = complaint(capsys, "check", "app_of_check:app", "--cores", "1", "--memory", "100M")
    assert code == 1
    assert "do not fit the memory limit of 100 MiB a core: interpreter 64 MiB + " in err


def test_check_refuses_an_invalid_spec_with_the_rule(capsys: Captured) -> None:
    code, err = complaint(capsys, "check", "app_of_check:twin", "--cores", "1")
    assert code == 1
    assert "'w'" in err
    assert "Traceback" not in err


def test_check_says_where_a_tree_ends_the_program_instead_of_ending_with_it(capsys: Captured) -> None:
    code, err = complaint(capsys, "check", "app_of_check:exits", "--cores", "1")
    assert code == 1
    assert "tree(place) of exits raised SystemExit: 3 on core 0" in err


def test_keygen_makes_a_private_file_and_never_replaces_one(capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "cluster.key"
    assert main(["keygen", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    code, err = complaint(capsys, "keygen", str(file))
    assert code == 1
    assert "is there already: name another file" in err
    assert file.read_bytes() == before


def test_a_bug_of_ours_is_called_one_and_its_traceback_is_shown_on_demand(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("regrove.node.process.configuration.resolve", broken)
    code, err = complaint(capsys, "check", "app_of_check:app")
    assert code == 70
    assert err.startswith("regrove: this is a bug of regrove, not yours: KeyError: 'lost' (regrove ")
    assert "REGROVE_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("REGROVE_DEBUG", "1")
    assert "Traceback" in complaint(capsys, "check", "app_of_check:app")[1]


def test_a_reader_that_went_away_is_no_bug(tmp_path: Path) -> None:
    script = "import sys; from regrove.node.cli import main; sys.exit(main(['start', '--help']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert err == b""
