"""Where ipc sockets may live, and what endpoints look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrove.transport.base import TransportError
from regrove.transport.endpoints import bind_problem, check_bind, check_dial, ipc_endpoint, private_folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return private_folder(tmp_path / "run", make=True)


def test_a_made_folder_is_private(run: Path) -> None:
    assert run.stat().st_mode & 0o777 == 0o700
    assert private_folder(run, make=True) == run


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_a_folder_that_others_may_enter_is_refused_with_the_mend(mode: int, run: Path) -> None:
    run.chmod(mode)
    with pytest.raises(TransportError, match=f"chmod 700 {run}"):
        private_folder(run)
    for check in (check_bind, check_dial):
        with pytest.raises(TransportError, match="chmod 700"):
            check(f"ipc://{run}/0.1")


def test_a_linked_folder_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(TransportError, match="symbolic link"):
        private_folder(tmp_path / "link")


def test_a_file_and_nothing_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransportError, match="is no folder"):
        private_folder(tmp_path / "file")
    with pytest.raises(TransportError, match="mkdir -m 700"):
        private_folder(tmp_path / "none")


def test_what_is_there_is_never_bound_again_nor_dialled_through_a_link(run: Path) -> None:
    (run / "0.1").write_text("")
    with pytest.raises(TransportError, match="in use or left over"):
        check_bind(f"ipc://{run}/0.1")
    (run / "1.1").symlink_to(run / "0.1")
    with pytest.raises(TransportError, match="in use or left over"):
        check_bind(f"ipc://{run}/1.1")
    with pytest.raises(TransportError, match="symbolic link"):
        check_dial(f"ipc://{run}/1.1")
    check_dial(f"ipc://{run}/0.1")


def test_a_short_path_is_used_as_it_is_and_a_long_one_is_hashed() -> None:
    folder = Path("/run/regrove/shop")
    assert ipc_endpoint(folder, "3.17") == "ipc:///run/regrove/shop/3.17"
    long = ipc_endpoint(folder, "x" * 100)
    assert long.startswith("ipc:///run/regrove/shop/")
    assert len(long.removeprefix("ipc://")) <= 107
    assert long == ipc_endpoint(folder, "x" * 100)
    assert long != ipc_endpoint(folder, "x" * 99 + "y")


def test_a_long_folder_needs_a_short_one() -> None:
    folder = Path("/" + "d" * 104)
    with pytest.raises(TransportError, match="shorter runtime folder"):
        ipc_endpoint(folder, "3.17")
    assert ipc_endpoint(folder, "3.17", Path("/tmp/r")).startswith("ipc:///tmp/r/")
    at_the_limit = Path("/" + "d" * 101)
    assert ipc_endpoint(at_the_limit, "3.17") == f"ipc://{at_the_limit}/3.17"


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://", "tcp://host", "tcp://:80", "tcp://host:x", "tcp://host:65536", "tcp://host:-1", "udp://h:1", "x", ""],
)
def test_a_malformed_endpoint_is_refused(endpoint: str) -> None:
    for check in (check_bind, check_dial):
        with pytest.raises(TransportError, match=r"an endpoint is tcp://host:port|an endpoint is ipc:///path"):
            check(endpoint)


@pytest.mark.parametrize("endpoint", ["ipc://relative", "ipc://@abstract", "ipc://"])
def test_an_ipc_endpoint_is_an_absolute_path(endpoint: str) -> None:
    with pytest.raises(TransportError, match="absolute"):
        check_bind(endpoint)


def test_an_overlong_path_is_refused(run: Path) -> None:
    with pytest.raises(TransportError, match="over 107 bytes"):
        check_bind(f"ipc://{run}/{'x' * 107}")


@pytest.mark.parametrize(
    ("number", "mend"), [(98, "choose another port"), (99, "0.0.0.0"), (13, "above 1023"), (5, "Input/output")]
)
def test_a_failed_bind_says_what_to_do(number: int, mend: str) -> None:
    assert mend in bind_problem("tcp://10.9.9.9:7", number)
