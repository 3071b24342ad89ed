"""House rules as tests (docs/architecture.md): sizes, words, paths, sleeps."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LINES = 500
FUNCTION_LINES = 70
CODE = ("regrove", "node", "supervisor", "transport", "examples", "benchmarks", "tests")
TEXTS = ("docs", ".ci", "README.md", "CHANGELOG.md", "pyproject.toml")

# Written in two parts, so that this file does not hold what it forbids.
MARKERS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "deb." + "debian.org", "repo." + "hex.pm")
MACHINE_PATH = re.compile(r"(?<![\w./}])/(?:work|ro" + r"ot|ho" + r"me|opt|Users)/\w")


def below(*names: str) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        found += [path] if path.is_file() else path.rglob("*")
    kept = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in kept if not any(parent.is_symlink() for parent in path.parents))


def python_files() -> list[Path]:
    return [path for path in below(*CODE) if path.suffix == ".py"]


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in python_files()}
    assert [place(path, length) for path, length in lengths.items() if length >= FILE_LINES] == []


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def test_functions_are_short() -> None:
    long = []
    for path in python_files():
        for node in functions(path):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > FUNCTION_LINES:
                long.append(f"{place(path, node.lineno)} {node.name}")
    assert long == []


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in below(*CODE, *TEXTS):
        if path.suffix in (".bin", ".gz", ".png"):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{place(path, number)} {line.strip()[:80]}")
    return found


def test_nothing_is_marked_as_unfinished() -> None:
    assert lines_with(re.compile(rf"\b(?:{'|'.join(MARKERS)})\b")) == []


def test_no_merge_was_left_half_done() -> None:
    assert lines_with(re.compile("^(?:<{7}|>{7}) ")) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_registry_is_named_by_its_host() -> None:
    assert lines_with(re.compile("|".join(map(re.escape, HOSTS)))) == []


def is_sleep(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep"


def is_for_ever(node: ast.AST) -> bool:
    """Tell a sleep that stands for a call that never ends, in a process or thread that is killed."""
    argument = node.args[0] if isinstance(node, ast.Call) and node.args else None
    return isinstance(argument, ast.Constant) and isinstance(argument.value, int | float) and argument.value >= 60


def test_tests_wait_for_events_and_never_for_time() -> None:
    """A pause is allowed between two looks at what is awaited: inside a loop, which has to have a deadline."""
    found = []
    for path in (path for path in python_files() if "tests" in path.parts):
        tree = ast.parse(path.read_text())
        polls = {
            id(node) for loop in ast.walk(tree) if isinstance(loop, ast.While | ast.For) for node in ast.walk(loop)
        }
        sleeps = [node for node in ast.walk(tree) if is_sleep(node) and not is_for_ever(node)]
        found += [place(path, node.lineno) for node in sleeps if id(node) not in polls]  # type: ignore[attr-defined]
    assert found == []


def test_modules_are_imported_by_their_one_name() -> None:
    """Bare `supervisor`, `node` or `transport` would be second copies of our modules, or somebody else's."""
    found = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if any(name.split(".")[0] in ("node", "supervisor", "transport") for name in names):
                found.append(place(path, getattr(node, "lineno", 0)))
    assert found == []


def test_the_pure_parts_import_no_clock_socket_thread_or_randomness() -> None:
    banned = {"time", "socket", "threading", "random", "os", "select", "subprocess", "secrets", "zmq", "signal", "io"}
    found = []
    for path in below("node/core", "supervisor"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{place(path, node.lineno)} {name}" for name in names if name.split(".")[0] in banned]  # type: ignore[attr-defined]
    assert found == []


def test_only_the_zeromq_transport_imports_zmq() -> None:
    found = []
    for path in below("node", "supervisor", "transport"):
        text = path.read_text()
        if path.name not in ("zeromq.py", "zeromq_sockets.py") and re.search(
            r"^\s*(?:import|from) zmq\b", text, re.MULTILINE
        ):
            found.append(str(path.relative_to(ROOT)))
    assert found == []


@pytest.mark.parametrize("text", ["a/work/x", "path/root/x", "{root}/home/x"])
def test_the_machine_path_rule_spares_paths_inside_others(text: str) -> None:
    assert not MACHINE_PATH.search(text)
