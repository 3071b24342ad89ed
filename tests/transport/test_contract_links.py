"""Link tables keep their promises over every transport."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regrove.transport.contract import World
from regrove.transport.contract_big import BIG_CHECKS
from regrove.transport.contract_doors import DOOR_CHECKS
from regrove.transport.contract_links import LINK_CHECKS

CHECKS = LINK_CHECKS + BIG_CHECKS + DOOR_CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_links(check: Callable[[World], None], world: World) -> None:
    check(world)
