"""Endpoints as texts; and where ipc sockets live: in a folder nobody else can enter, under a name that fits."""

from __future__ import annotations

import errno
import os
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Final

from regrove.transport.base import TransportError

PATH_BYTES_MAX: Final = 107  # sun_path of unix(7), without its closing zero
PORT_MAX: Final = 65535


def private_folder(folder: Path, make: bool = False) -> Path:
    """Check that `folder` is a real folder of ours with mode 0700; with `make` it is created so when missing.

    Raises TransportError naming the folder and the mend.
    """
    if make and not folder.exists():
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            pass  # another process of ours was faster: the checks below judge what it made
        except OSError as error:
            raise TransportError(f"cannot make the folder {folder}: {error.strerror}") from None
    try:
        found = folder.lstat()
    except OSError as error:
        raise TransportError(f"cannot use the folder {folder}: {error.strerror}; make it with mkdir -m 700") from None
    if stat.S_ISLNK(found.st_mode):
        raise TransportError(f"{folder} is a symbolic link: name the folder it points to, or make a real one")
    if not stat.S_ISDIR(found.st_mode):
        raise TransportError(f"{folder} is no folder: remove it, or name another one")
    if found.st_uid != os.geteuid():
        raise TransportError(f"{folder} belongs to user {found.st_uid}, not to {os.geteuid()}: name a folder of yours")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise TransportError(
            f"{folder} has mode {stat.S_IMODE(found.st_mode):04o}, so that others may enter: chmod 700 {folder}"
        )
    return folder


def ipc_endpoint(folder: Path, name: str, short_folder: Path | None = None) -> str:
    """`ipc://folder/name`; when that is over 107 bytes, a hashed name in `folder` or else in `short_folder`.

    The same arguments give the same endpoint in every process. Raises TransportError when nothing fits.
    """
    path = folder / name
    digest = blake2b(os.fsencode(path), digest_size=12).hexdigest()
    places = [path, folder / digest]
    if short_folder is not None:
        places.append(short_folder / digest)
    for place in places:
        if len(os.fsencode(place)) <= PATH_BYTES_MAX:
            return f"ipc://{place}"
    raise TransportError(
        f"{path} is over {PATH_BYTES_MAX} bytes and so is every short form of it: use a shorter runtime folder"
    )


def ipc_path(endpoint: str) -> Path:
    """The path in an ipc endpoint, checked. Raises TransportError for a relative, abstract or overlong one."""
    path = Path(endpoint.removeprefix("ipc://"))
    if not path.is_absolute():
        raise TransportError(f"an ipc endpoint is ipc:///absolute/path, got {endpoint!r}")
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise TransportError(f"{path} is over {PATH_BYTES_MAX} bytes: make the endpoint with ipc_endpoint()")
    return path


def check_bind(endpoint: str) -> None:
    """Refuse to bind an ipc path where something is: a second bind would steal the first one's connections silently.

    Raises TransportError, for a malformed endpoint too.
    """
    if _is_tcp(endpoint):
        return
    path = ipc_path(endpoint)
    private_folder(path.parent)
    if os.path.lexists(path):
        raise TransportError(f"{path} is in use or left over: each life of a core binds a path of its own, once")


def check_dial(endpoint: str) -> None:
    """Refuse to dial through a folder that others may write, or a symbolic link. Raises TransportError."""
    if _is_tcp(endpoint):
        return
    path = ipc_path(endpoint)
    private_folder(path.parent)
    if path.is_symlink():
        raise TransportError(f"{path} is a symbolic link: dial the socket itself")


def _is_tcp(endpoint: str) -> bool:
    if endpoint.startswith("tcp://"):
        host, colon, port = endpoint.removeprefix("tcp://").rpartition(":")
        if not host or not colon or not port.isdecimal() or int(port) > PORT_MAX:
            raise TransportError(f"an endpoint is tcp://host:port with a port up to {PORT_MAX}, got {endpoint!r}")
        return True
    if not endpoint.startswith("ipc://"):
        raise TransportError(f"an endpoint is ipc:///path or tcp://host:port, got {endpoint!r}")
    return False


def bind_problem(endpoint: str, number: int | None) -> str:
    """What to say, and to do, about the errno of a failed bind."""
    match number:
        case errno.EADDRINUSE:
            return f"{endpoint} is in use: choose another port, or stop what listens there"
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            return f"{endpoint} is no address of this machine: choose one of it, or 0.0.0.0 for all"
        case errno.EACCES:
            return f"{endpoint} is not allowed for this user: choose a port above 1023"
    return f"cannot listen on {endpoint}: {os.strerror(number or 0)}"
