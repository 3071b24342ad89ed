"""The zygote: imports the application once and forks cores and workers in milliseconds.

A child of the manager (this module, one FD). It never makes a ZeroMQ Context and runs nothing of the application but
its import. It forks twice and the process between ends at once, so that the manager, a child
subreaper, becomes the parent: no core dies with the zygote. Descriptors reach what it forks by SCM_RIGHTS.

    manager -> zygote                                    zygote -> manager
      prepare, application, import path, pid, dumps        up, threads, unforkable
      fork, request            + pipe, hands               refused, text
      ahead, request           + pipe, hands
      worker, request          + connection                forked, request, pid     + pidfd
                                                           failed, request, text
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn

from regrove.node.process import descriptors

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 64
NODE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Serve = Callable[[int, list[int]], int]  # (the manager's pid, descriptors) -> exit code


def main(descriptor: int) -> int:
    """Import, then serve forks until the manager is gone; returns the exit code."""
    _ignore_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NODE_SIGNALS)
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    found = descriptors.receive(connection)
    if found is None:
        return EXIT_OK
    _, application, import_path, manager, dumps = found[0]
    return _run(connection, application, import_path, manager, dumps)


def fork_from_manager(
    connection: socket.socket,
    application: str,
    import_path: Sequence[str],
    manager: int,
    dumps: int,
    mask: Iterable[int],
) -> NoReturn:
    """Become the zygote in a process that the manager has just forked from itself; never returns.

    `mask` are the signals that stay blocked; those of a node are as well until they are ignored.
    """
    code = 1
    try:
        _ignore_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        code = _run(connection, application, import_path, manager, dumps)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _ignore_signals() -> None:
    for number in NODE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _run(connection: socket.socket, application: str, import_path: Sequence[str], manager: int, dumps: int) -> int:
    from regrove.node.process import core_process, fork, stacks

    if not fork.tie_to(manager):
        return EXIT_OK
    with contextlib.suppress(OSError):  # without /proc nobody sees where an import hangs
        stacks.arm(manager, dumps)
    refused = _prepare(application, import_path)
    if refused is not None:
        _tell(connection, ["refused", refused])
        return EXIT_REFUSED
    _announce(connection)
    serving = {"fork": core_process.serve_forked, "ahead": core_process.serve_ahead, "worker": _serve_worker}
    return _serve(connection, manager, serving)


def _prepare(application: str, import_path: Sequence[str]) -> str | None:
    """Import all that a core needs; returns why the application cannot be used, or None."""
    import encodings.idna  # noqa: F401  # what resolves the host of the first socket a core opens

    from regrove.node.core.errors import Misuse
    from regrove.node.process import guard
    from regrove.node.process.loading import load_application

    mark = guard.claim("the zygote of a node")  # an application that starts a node when it is imported is refused
    try:
        load_application(application, import_path)
    except Misuse as problem:
        return str(problem)
    finally:
        mark.release()
    return None


def _announce(connection: socket.socket) -> None:
    from regrove.node.process.leftovers import look

    gc.collect()  # what the application left: our own modules were put aside before it was imported
    gc.unfreeze()
    found = look()
    # What lives now lives in every core: no collection of theirs touches it, so that its pages stay shared.
    gc.freeze()
    _tell(connection, ["up", found.threads, found.unforkable])


def _serve(connection: socket.socket, manager: int, serving: Mapping[str, Serve]) -> int:
    while True:
        try:
            found = descriptors.receive(connection)
        except OSError:
            found = None
        if found is None:
            return EXIT_OK
        message, given = found
        request = message[1]
        try:
            _fork_twice(connection, request, manager, given, serving[message[0]])
        except OSError as problem:
            _tell(connection, ["failed", request, f"fork: {problem.strerror}"])
        finally:
            descriptors.close_all(given)


def _fork_twice(connection: socket.socket, request: int, manager: int, given: list[int], serve: Serve) -> None:
    """Fork a process that becomes the manager's child and runs `serve(manager, given)`; raises OSError."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    code = 1
    try:
        code = _between(connection, request, manager, given, serve)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _between(connection: socket.socket, request: int, manager: int, given: list[int], serve: Serve) -> int:
    own = os.getpid()
    try:
        pid = os.fork()
    except OSError as problem:
        _tell(connection, ["failed", request, f"fork: {problem.strerror}"])
        return 1
    if pid:
        # Before this process ends: until then the new one cannot have been reaped by anybody, so its pidfd is its own.
        pidfd = os.pidfd_open(pid)
        _tell(connection, ["forked", request, pid], [pidfd])
        return 0
    connection.close()
    from regrove.node.process import fork

    fork.wait_for_parent(own)
    return serve(manager, given)


def _tell(connection: socket.socket, message: list[object], given: Sequence[int] = ()) -> None:
    """Say it to the manager; one that is gone, or has given this zygote up, needs no answer."""
    with contextlib.suppress(OSError):
        descriptors.send(connection, message, given)


def _serve_worker(manager: int, given: list[int]) -> int:
    """Serve a core's `Offload(where="process")` as a child of the manager."""
    from regrove.node.io import worker
    from regrove.node.process.fork import reseed

    reseed()
    worker.main(given[0], manager)
    return EXIT_OK


def _end(code: int) -> NoReturn:
    """End without the interpreter's own end, which is the zygote's business."""
    with contextlib.suppress(Exception):  # whatever the application has put there: nothing may keep this from ending
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main(int(sys.argv[1])))
