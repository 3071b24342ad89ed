"""What this machine and this process may use: CPUs by affinity and cgroup quota, the host's name."""

from __future__ import annotations

import os
import re
import resource
import socket
from pathlib import Path


def usable_cores() -> int:
    """Cores to run by default: min(affinity set, cgroup quota), at least 1; never cpu_count."""
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup_quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cgroup_quota(mount: Path, membership: Path) -> float | None:
    """CPUs granted by the cgroups above this process (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), or None without a quota."""
    quotas: list[float] = []
    for folder in _cgroup_folders(mount, membership):
        found = _quota_v2(folder) if (folder / "cpu.max").exists() else _quota_v1(folder)
        if found is not None:
            quotas.append(found)
    return min(quotas, default=None)


def host_name() -> str:
    """This machine's host name, reduced to what a node's name may hold."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip("-.") or "localhost"


def raise_descriptor_limit() -> None:
    """Take all the descriptors the operator allows: the usual soft limit is 1 024.

    `Bounds.streams` of a core is above it, and so are the listening sockets that a manager keeps for five cores.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _cgroup_folders(mount: Path, membership: Path) -> list[Path]:
    """The cgroup folders of this process and all above it; inside a container only the mount itself may be seen."""
    folders = [mount, mount / "cpu"]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        at = (mount / "cpu" if controllers else mount) / path.lstrip("/")
        while at != mount and mount in at.parents:
            folders.append(at)
            at = at.parent
    return folders


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
