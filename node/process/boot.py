"""What a core process is started with: one frame, `boot`, over its inherited socketpair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrove.node.core.address import Home
from regrove.node.process.configuration import NodeConfig
from regrove.records import dataclass

EXIT_STOPPED = 0
EXIT_FAILED = 1  # an error of ours, or of the machine: the log has it
EXIT_ESCALATED = 3  # the root supervisor gave up (level 2)
EXIT_ORPHANED = 4  # the manager is gone
EXIT_REFUSED = 64  # the application cannot be loaded or is invalid (EX_USAGE)


@dataclass(frozen=True, slots=True)
class BootParameters:
    """Who this core is, where it binds, and the keys of the node (Z85; empty: no encryption).

    `pages` and `dumps` are descriptors of the manager: the shared pages, and where this core's stacks go (-1: none).
    `cpu` is where it is pinned (-1: nowhere).
    `endpoint` is its ipc endpoint; `listen` the tcp endpoint to bind or empty; `advertise` the host others dial, or
    empty for the one bound.
    """

    config: NodeConfig
    core: int
    incarnation: int
    node_incarnation: int
    manager_pid: int
    endpoint: str
    listen: str = ""
    advertise: str = ""
    public_key: str = ""
    secret_key: str = ""
    offers: int = 0  # listening sockets of the life before that lie in the core's hands
    pages: int = -1
    dumps: int = -1
    cpu: int = -1

    @property
    def home(self) -> Home:
        """This life of the core."""
        return Home(self.config.name, self.node_incarnation, self.core, self.incarnation)

    def plain(self) -> dict[str, Any]:
        """As plain values for the frame."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "config"}
        return {"config": self.config.plain(), **own}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> BootParameters:
        """The inverse of `plain`."""
        own = {key: value for key, value in plain.items() if key != "config"}
        return cls(config=NodeConfig.from_plain(plain["config"]), **own)
