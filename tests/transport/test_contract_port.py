"""Every transport passes the contract of the port."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regrove.transport.contract import PORT_CHECKS, World


@pytest.mark.parametrize("check", PORT_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_port(check: Callable[[World], None], world: World) -> None:
    check(world)
