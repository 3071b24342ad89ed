"""The noise probe: a process that only sleeps 5 ms at a time, and how much later than that it wakes.

python -m benchmarks.noise        ends when its input does; prints `p50 p99 count` in ms late
"""

from __future__ import annotations

import select
import sys
import time

SLEEP_S = 0.005
NOISY_MS = 5.0


def main() -> None:
    late: list[float] = []
    while True:
        begin = time.perf_counter()
        if select.select([0], [], [], SLEEP_S)[0]:
            break
        late.append((time.perf_counter() - begin - SLEEP_S) * 1e3)
    late.sort()
    count = len(late)
    if not count:
        late = [0.0]
    print(f"{late[len(late) // 2]:.2f} {late[len(late) * 99 // 100]:.2f} {count}", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
