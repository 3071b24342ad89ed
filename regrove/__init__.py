"""regrove: isolates under supervisors, bounded messages, simulation. The public door: what applications import.

Everything a user needs comes from here; `regrove.testing` is the second door, for tests of whole clusters.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if "regrove" in " ".join(sys.orig_argv[:8]):
    from regrove import interrupting

    if interrupting.is_the_command():
        interrupting.end_at_interrupt()

from regrove.node.core.address import Address as Address
from regrove.node.core.address import Caller as Caller
from regrove.node.core.address import Name as Name
from regrove.node.core.application import Application as Application
from regrove.node.core.application import Place as Place
from regrove.node.core.application import key_to_core as key_to_core
from regrove.node.core.bounds import Bounds as Bounds
from regrove.node.core.context import Context as Context
from regrove.node.core.effects import DONE as DONE
from regrove.node.core.effects import IGNORE as IGNORE
from regrove.node.core.effects import RECEIVE as RECEIVE
from regrove.node.core.effects import Accept as Accept
from regrove.node.core.effects import Await as Await
from regrove.node.core.effects import Call as Call
from regrove.node.core.effects import CallAll as CallAll
from regrove.node.core.effects import Close as Close
from regrove.node.core.effects import Connect as Connect
from regrove.node.core.effects import Continue as Continue
from regrove.node.core.effects import Crash as Crash
from regrove.node.core.effects import Done as Done
from regrove.node.core.effects import Effect as Effect
from regrove.node.core.effects import Listen as Listen
from regrove.node.core.effects import ListFiles as ListFiles
from regrove.node.core.effects import Offload as Offload
from regrove.node.core.effects import Open as Open
from regrove.node.core.effects import Push as Push
from regrove.node.core.effects import Read as Read
from regrove.node.core.effects import Remove as Remove
from regrove.node.core.effects import Rename as Rename
from regrove.node.core.effects import Reply as Reply
from regrove.node.core.effects import Sleep as Sleep
from regrove.node.core.effects import Sync as Sync
from regrove.node.core.effects import Truncate as Truncate
from regrove.node.core.effects import Wait as Wait
from regrove.node.core.effects import Write as Write
from regrove.node.core.errors import BoundReached as BoundReached
from regrove.node.core.errors import DecodeError as DecodeError
from regrove.node.core.errors import InvalidBounds as InvalidBounds
from regrove.node.core.errors import Misuse as Misuse
from regrove.node.core.errors import NotInHandler as NotInHandler
from regrove.node.core.errors import RegroveError as RegroveError
from regrove.node.core.errors import UnsendableValue as UnsendableValue
from regrove.node.core.handles import Listener as Listener
from regrove.node.core.handles import Stream as Stream
from regrove.node.core.handles import Ticket as Ticket
from regrove.node.core.handles import Timer as Timer
from regrove.node.core.isolate import Isolate as Isolate
from regrove.node.core.messages import message as message
from regrove.node.core.outcomes import Accepted as Accepted
from regrove.node.core.outcomes import Closed as Closed
from regrove.node.core.outcomes import Connected as Connected
from regrove.node.core.outcomes import Down as Down
from regrove.node.core.outcomes import Exit as Exit
from regrove.node.core.outcomes import Failed as Failed
from regrove.node.core.outcomes import Gathered as Gathered
from regrove.node.core.outcomes import Given as Given
from regrove.node.core.outcomes import Listed as Listed
from regrove.node.core.outcomes import Listening as Listening
from regrove.node.core.outcomes import Opened as Opened
from regrove.node.core.outcomes import Outcome as Outcome
from regrove.node.core.outcomes import Pushed as Pushed
from regrove.node.core.outcomes import Received as Received
from regrove.node.core.outcomes import Removed as Removed
from regrove.node.core.outcomes import Renamed as Renamed
from regrove.node.core.outcomes import Replied as Replied
from regrove.node.core.outcomes import Returned as Returned
from regrove.node.core.outcomes import Slept as Slept
from regrove.node.core.outcomes import Synced as Synced
from regrove.node.core.outcomes import Truncated as Truncated
from regrove.node.core.outcomes import Undelivered as Undelivered
from regrove.node.core.outcomes import Written as Written
from regrove.node.core.reasons import Busy as Busy
from regrove.node.core.reasons import Cancelled as Cancelled
from regrove.node.core.reasons import LinkFull as LinkFull
from regrove.node.core.reasons import MailboxFull as MailboxFull
from regrove.node.core.reasons import NoReply as NoReply
from regrove.node.core.reasons import NotOwner as NotOwner
from regrove.node.core.reasons import OsError as OsError
from regrove.node.core.reasons import PoolExhausted as PoolExhausted
from regrove.node.core.reasons import Raised as Raised
from regrove.node.core.reasons import SelfCall as SelfCall
from regrove.node.core.reasons import Timeout as Timeout
from regrove.node.core.reasons import TooLarge as TooLarge
from regrove.node.core.reasons import Undecodable as Undecodable
from regrove.node.core.reasons import Unknown as Unknown
from regrove.node.core.reasons import Unreachable as Unreachable
from regrove.node.core.sent import Sent as Sent
from regrove.node.core.spawning import SpawnRefused as SpawnRefused
from regrove.supervisor.backoff import Backoff as Backoff
from regrove.supervisor.reasons import CoreDown as CoreDown
from regrove.supervisor.reasons import Crashed as Crashed
from regrove.supervisor.reasons import Ignored as Ignored
from regrove.supervisor.reasons import Kill as Kill
from regrove.supervisor.reasons import Killed as Killed
from regrove.supervisor.reasons import NoConnection as NoConnection
from regrove.supervisor.reasons import NoProcess as NoProcess
from regrove.supervisor.reasons import Normal as Normal
from regrove.supervisor.reasons import Reason as Reason
from regrove.supervisor.reasons import Shutdown as Shutdown
from regrove.supervisor.reasons import StartFailed as StartFailed
from regrove.supervisor.requests import AlreadyPresent as AlreadyPresent
from regrove.supervisor.requests import AlreadyStarted as AlreadyStarted
from regrove.supervisor.requests import ChildInfo as ChildInfo
from regrove.supervisor.requests import CountChildren as CountChildren
from regrove.supervisor.requests import Counts as Counts
from regrove.supervisor.requests import DeleteChild as DeleteChild
from regrove.supervisor.requests import GetSpec as GetSpec
from regrove.supervisor.requests import InvalidSpec as InvalidSpec
from regrove.supervisor.requests import MaxChildren as MaxChildren
from regrove.supervisor.requests import NotFound as NotFound
from regrove.supervisor.requests import RestartChild as RestartChild
from regrove.supervisor.requests import Restarting as Restarting
from regrove.supervisor.requests import Running as Running
from regrove.supervisor.requests import StartChild as StartChild
from regrove.supervisor.requests import TerminateChild as TerminateChild
from regrove.supervisor.requests import UnknownRequest as UnknownRequest
from regrove.supervisor.requests import WhichChildren as WhichChildren
from regrove.supervisor.rules import SpecError as SpecError
from regrove.supervisor.spec import Child as Child
from regrove.supervisor.spec import DynamicSupervisor as DynamicSupervisor
from regrove.supervisor.spec import Supervisor as Supervisor

if TYPE_CHECKING:
    from regrove.node.client import AsyncCluster as AsyncCluster
    from regrove.node.client import CallFailed as CallFailed
    from regrove.node.client import CallTimeout as CallTimeout
    from regrove.node.client import ClientClosed as ClientClosed
    from regrove.node.client import Cluster as Cluster
    from regrove.node.client import NodeDidNotStart as NodeDidNotStart
    from regrove.node.client import NoNode as NoNode
    from regrove.node.client import NotConnected as NotConnected
    from regrove.node.client import StartedNode as StartedNode
    from regrove.node.client import SupervisorRefused as SupervisorRefused
    from regrove.node.client import UsedAfterFork as UsedAfterFork
    from regrove.node.client import connect as connect
    from regrove.node.client import connect_async as connect_async
    from regrove.node.client import start as start


_CLIENT = (
    "AsyncCluster",
    "CallFailed",
    "CallTimeout",
    "ClientClosed",
    "Cluster",
    "NoNode",
    "NodeDidNotStart",
    "NotConnected",
    "StartedNode",
    "SupervisorRefused",
    "UsedAfterFork",
    "connect",
    "connect_async",
    "start",
)


def __getattr__(name: str) -> Any:
    # The client brings zmq in; an application on a core, and a simulated run, never pay for that.
    if name in _CLIENT:
        from regrove.node import client

        return getattr(client, name)
    raise AttributeError(f"module 'regrove' has no attribute {name!r}")


__all__ = [
    "DONE",
    "IGNORE",
    "RECEIVE",
    "Accept",
    "Accepted",
    "Address",
    "AlreadyPresent",
    "AlreadyStarted",
    "Application",
    "AsyncCluster",
    "Await",
    "Backoff",
    "BoundReached",
    "Bounds",
    "Busy",
    "Call",
    "CallAll",
    "CallFailed",
    "CallTimeout",
    "Caller",
    "Cancelled",
    "Child",
    "ChildInfo",
    "ClientClosed",
    "Close",
    "Closed",
    "Cluster",
    "Connect",
    "Connected",
    "Context",
    "Continue",
    "CoreDown",
    "CountChildren",
    "Counts",
    "Crash",
    "Crashed",
    "DecodeError",
    "DeleteChild",
    "Done",
    "Down",
    "DynamicSupervisor",
    "Effect",
    "Exit",
    "Failed",
    "Gathered",
    "GetSpec",
    "Given",
    "Ignored",
    "InvalidBounds",
    "InvalidSpec",
    "Isolate",
    "Kill",
    "Killed",
    "LinkFull",
    "ListFiles",
    "Listed",
    "Listen",
    "Listener",
    "Listening",
    "MailboxFull",
    "MaxChildren",
    "Misuse",
    "Name",
    "NoConnection",
    "NoNode",
    "NoProcess",
    "NoReply",
    "NodeDidNotStart",
    "Normal",
    "NotConnected",
    "NotFound",
    "NotInHandler",
    "NotOwner",
    "Offload",
    "Open",
    "Opened",
    "OsError",
    "Outcome",
    "Place",
    "PoolExhausted",
    "Push",
    "Pushed",
    "Raised",
    "Read",
    "Reason",
    "Received",
    "RegroveError",
    "Remove",
    "Removed",
    "Rename",
    "Renamed",
    "Replied",
    "Reply",
    "RestartChild",
    "Restarting",
    "Returned",
    "Running",
    "SelfCall",
    "Sent",
    "Shutdown",
    "Sleep",
    "Slept",
    "SpawnRefused",
    "SpecError",
    "StartChild",
    "StartFailed",
    "StartedNode",
    "Stream",
    "Supervisor",
    "SupervisorRefused",
    "Sync",
    "Synced",
    "TerminateChild",
    "Ticket",
    "Timeout",
    "Timer",
    "TooLarge",
    "Truncate",
    "Truncated",
    "Undecodable",
    "Undelivered",
    "Unknown",
    "UnknownRequest",
    "Unreachable",
    "UnsendableValue",
    "UsedAfterFork",
    "Wait",
    "WhichChildren",
    "Write",
    "Written",
    "connect",
    "connect_async",
    "key_to_core",
    "message",
    "start",
]
