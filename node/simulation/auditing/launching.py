"""Starts the processes in which an audit has seeds run: the same program, another hash seed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from regrove.node.core.errors import RegroveError

STARTER: Final = "REGROVE_AUDIT_STARTER"  # the process that waits for the answers; without it nobody needs them


class AuditFailed(RegroveError):
    """A process that an audit started ended badly; `output` is what it said."""

    def __init__(self, hash_seed: str, status: int, output: str) -> None:
        self.output = output
        self._given = hash_seed, status, output
        super().__init__(
            f"the audit's process under PYTHONHASHSEED={hash_seed} ended with {status}: run the seed without the audit "
            f"first, it has to pass in a process of its own; what it said:\n{output[-3_000:]}"
        )

    def __reduce__(self) -> tuple[type[AuditFailed], tuple[str, int, str]]:
        return AuditFailed, self._given  # it comes back from the processes of a search


def launcher(command: Callable[[Path], Sequence[str]], folder: Path | None = None) -> Callable[[str, Path], None]:
    """Make the `launch` of `audit` from the command that serves a file of orders. It raises AuditFailed."""

    def launch(hash_seed: str, orders: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        done = subprocess.run(
            [*command(orders)],
            cwd=folder,
            env={**environment, "PYTHONHASHSEED": hash_seed, STARTER: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AuditFailed(hash_seed, done.returncode, done.stdout)

    return launch
