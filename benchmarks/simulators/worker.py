"""One measurement in a process of its own: python -m benchmarks.simulators.worker CONTENDER beats|raft SIZE SEED."""

from __future__ import annotations

import json
import platform
import sys
import time
from importlib import import_module


def main(contender: str, workload: str, size: int, seed: int) -> None:
    """Warm up, measure, and print units, CPU seconds and what was done as one JSON line."""
    module = import_module(f"benchmarks.simulators.on_{contender}")
    if workload == "beats":
        module.run_beats(1, seed)
        begin = time.process_time()
        units = done = module.run_beats(size, seed)
    else:
        module.run_raft(seed)
        begin = time.process_time()
        done = sum(module.run_raft(seed + 1 + number) for number in range(size))
        units = size
    spent = time.process_time() - begin
    print(json.dumps({"units": units, "cpu_s": spent, "done": done, "python": platform.python_version()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
