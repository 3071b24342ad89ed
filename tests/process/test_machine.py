"""How many cores a node uses by default: what it may use, never what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regrove.node.process import machine


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cgroup"
    path.write_text(text)
    return path


def test_the_smallest_quota_above_the_process_counts(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    group(mount, "a/b", cpu__max="300000 100000")
    group(mount, "a", cpu__max="150000 100000")
    assert machine.cgroup_quota(mount, membership(tmp_path, "0::/a/b\n")) == 1.5


def test_no_quota_anywhere_is_none(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    group(mount, "a", cpu__max="max 100000")
    assert machine.cgroup_quota(mount, membership(tmp_path, "0::/a\n")) is None
    assert machine.cgroup_quota(mount, tmp_path / "missing") is None


def test_version_1_counts_only_the_cpu_controller(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    group(mount, "cpu/x", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    group(mount, "cpu/y", cpu__cfs_quota_us="1000", cpu__cfs_period_us="100000")
    text = "4:memory:/y\n3:cpu,cpuacct:/x\n"
    assert machine.cgroup_quota(mount, membership(tmp_path, text)) == 2.0


@pytest.mark.parametrize("text", ["-1", "0", "nonsense"])
def test_version_1_without_a_limit_is_none(tmp_path: Path, text: str) -> None:
    mount = tmp_path / "mount"
    group(mount, "cpu", cpu__cfs_quota_us=text, cpu__cfs_period_us="100000")
    assert machine.cgroup_quota(mount, tmp_path / "missing") is None


def test_the_default_is_within_the_affinity_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= machine.usable_cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setattr(machine, "cgroup_quota", lambda *_: 0.5)
    assert machine.usable_cores() == 1


def test_a_host_name_fits_a_node_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my_host ")
    assert machine.host_name() == "my-host"
