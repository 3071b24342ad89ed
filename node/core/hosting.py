"""Children on other cores: the signals between the core of a supervisor (the owner) and the core that hosts its child.

A guest is the child of a supervisor of another core. It runs under a lease only: its core asks (`ASK`, with its own
time), the owner answers (`LEASE`, with that time and a length), and the lease ends that long after the question was
asked. The owner takes a child for lost when it has given no lease for longer than that: by then the child has been
killed by its own core, so that it may be started again elsewhere (supervision.md 10).

`life` is a number of the owner's for one life of one child, never given again in a life of the owner's core.

| kind | item | from | answered by |
|---|---|---|---|
| HOST | life, (path, spec, who waits) | owner | ASK, ENDED |
| ASK | life (0: all that run), time | host | LEASE, KILL |
| LEASE | life, time, ns | owner | |
| HOSTED | life, slot, generation: its start has succeeded | host | |
| ENDED | life, how, slot, generation, reason; kept until | host | FORGET |
| FORGET | life | owner | |
| STOP | life, reason | owner | ENDED |
| KILL | life | owner | ENDED |

KILL of life 0 is a probe: `ENDED` of life 0 says that a core that was lost hears us and is heard.

All are idempotent, and told again when a link comes back: a lost session loses none for good.
"""

from __future__ import annotations

from typing import Final

HOST: Final = 29
ASK: Final = 30
LEASE: Final = 31
HOSTED: Final = 32
ENDED: Final = 33
FORGET: Final = 34
STOP: Final = 35
KILL: Final = 36
PROBE: Final = (KILL, 0)

# How a life on another core ended, in ENDED.
FAILED: Final = 0  # its start
OVER: Final = 1  # after its start
IGNORED: Final = 2
UNPLACED: Final = 3  # nothing was tried: that core is about to leave

SPEC_BYTES_MAX: Final = 65_536  # of a spec with its arguments on the wire: signals take no credit, so none may be big
NANO: Final = 1_000_000_000
MILLI: Final = 1_000_000
TELL_AGAIN: Final = 5  # times a lease: questions, and what is not answered yet
MARGIN: Final = 10  # the owner waits a tenth of the lease longer: clocks of two machines do not run alike
