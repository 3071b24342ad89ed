"""Cold start: a node with 2 cores, from nothing to its first answered call, in seconds.

python -m benchmarks.cold        prints `ms value`, by this process's clock, its imports included
"""

from __future__ import annotations

import os
import sys
import time

import regrove
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Reply, Supervisor


class Echo(Isolate):
    def handle(self, ctx: Context, message: object) -> Effect:
        return Reply(message, RECEIVE)


app = Application("cold", tree=lambda place: Supervisor("root", [Child("echo", Echo, name="echo")]))


def main() -> None:
    begun = float(sys.argv[1]) if len(sys.argv) > 1 else time.monotonic()
    with regrove.start("benchmarks.cold:app", cores=2) as node:
        answered = node.call("echo", 1)
        spent = time.monotonic() - begun
    if answered != 1:
        raise SystemExit(f"asked for 1, got {answered!r}")
    print("ms", spent * 1e3, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
