"""A worker process of Offload(where="process"): runs one function at a time for the core that started it.

A request is `(module, name, modules, arguments)`, the arguments encoded on their own because their classes are known
only once `modules` are imported; an answer is `(True, value)` or `(False, type, text)`. It ends with its core: by the
kernel's parent-death signal, and when the core hangs up.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import socket
from typing import Any, Final

from regrove.node.core.messages import decode, encode
from regrove.node.io.frames import FRAME_BYTES, HEADER

PR_SET_PDEATHSIG: Final = 1


def main(fd: int, parent: int) -> None:
    """Serve requests from the socket `fd` until the core `parent` is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    # A terminal's Ctrl-C and a manager's SIGTERM go to the whole group; only the core decides over its workers.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=fd) as sock, contextlib.suppress(ConnectionError):  # how a core hangs up that was killed
        sock.setblocking(True)
        while (request := receive(sock)) is not None:
            answer = serve(request)
            sock.sendall(HEADER.pack(len(answer)) + answer)


def receive(sock: socket.socket) -> bytes | None:
    """Read one frame; None when the core has hung up."""
    header = _receive_exactly(sock, HEADER.size)
    return None if header is None else _receive_exactly(sock, HEADER.unpack(header)[0])


def serve(request: bytes) -> bytes:
    """Run the function a request names, and encode its answer."""
    try:
        module, name, modules, arguments = decode(request)
        for needed in modules:
            # One that cannot be imported matters only if the arguments need it, and then decoding names the class.
            with contextlib.suppress(Exception):
                importlib.import_module(needed)
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        value = function(*decode(arguments))
        answer = encode((True, value))
        if len(answer) > FRAME_BYTES:
            raise OverflowError(f"the result has {len(answer)} bytes encoded, at most {FRAME_BYTES} return")
    except BaseException as error:
        return encode((False, type(error).__name__, _text(error)))
    return answer


def _text(error: BaseException) -> str:
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()[:10_000]
    except Exception as second:
        return f"its text could not be made: {type(second).__name__}"


def _receive_exactly(sock: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        more = sock.recv(min(count - len(data), 1024 * 1024))
        if not more:
            return None
        data += more
    return bytes(data)
