"""Signals about children on other cores as they come from a link: checked for their shape, then handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regrove.node.core import hosting
from regrove.node.core.address import Home
from regrove.node.core.remote import Malformed, read_reason, read_shape
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core


def kinds(core: Core) -> dict[int, Callable[[Home, Any], Reason | None]]:
    """Give what is to be done with each kind. Each raises Malformed for other fields than its kind has."""
    guests, children = core.guests, core.remote_children

    def host(home: Home, item: Any) -> None:
        read_shape(item, int, bytes)
        guests.host(home, item[1], item[2])

    def ask(home: Home, item: Any) -> None:
        read_shape(item, int, int)
        children.asked(home, item[1], item[2])

    def lease(home: Home, item: Any) -> None:
        read_shape(item, int, int, int)
        guests.lease(home, item[1], item[2], item[3])

    def hosted(home: Home, item: Any) -> None:
        read_shape(item, int, int, int)
        children.hosted(home, item[1], item[2], item[3])

    def ended(home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int, bytes)
        children.ended(home, item[1], item[2], (item[3], item[4]), read_reason(item[5]))

    def forget(home: Home, item: Any) -> None:
        read_shape(item, int)
        guests.forget(home, item[1])

    def stop(home: Home, item: Any) -> None:
        read_shape(item, int, bytes)
        guests.stop(home, item[1], read_reason(item[2]))

    def kill(home: Home, item: Any) -> None:
        read_shape(item, int)
        guests.kill(home, item[1])

    def from_cores(take: Callable[[Home, Any], None]) -> Callable[[Home, Any], Reason | None]:
        def taken(home: Home, item: Any) -> None:
            if core.links.is_client(home):
                raise Malformed("a program outside the cluster has no part in supervision")
            take(home, item)

        return taken

    return {
        kind: from_cores(take)
        for kind, take in (
            (hosting.HOST, host),
            (hosting.ASK, ask),
            (hosting.LEASE, lease),
            (hosting.HOSTED, hosted),
            (hosting.ENDED, ended),
            (hosting.FORGET, forget),
            (hosting.STOP, stop),
            (hosting.KILL, kill),
        )
    }
