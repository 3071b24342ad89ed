"""How long frames take: drawn for each from the table of its link."""

from __future__ import annotations

from typing import Final

from regrove.node.simulation.clock import MICROSECOND, MILLISECOND
from regrove.node.simulation.seeds import Distribution

INSIDE: Final = Distribution(
    (15, 30 * MICROSECOND, 120 * MICROSECOND), (1, 120 * MICROSECOND, 1_500 * MICROSECOND)
)  # ipc between the cores of a node
OUTSIDE: Final = Distribution(
    (29, 100 * MICROSECOND, 500 * MICROSECOND),
    (2, 500 * MICROSECOND, 3 * MILLISECOND),
    (1, 3 * MILLISECOND, 25 * MILLISECOND),
)  # tcp between machines
