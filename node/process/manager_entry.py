"""The process of a manager that a program launches (this module, one FD): it forks a zygote, then becomes the manager.

What a core needs is imported before the fork, so that both have it; what only one of them needs after it, by each for
itself and at the same time.
"""

from __future__ import annotations

import gc
import socket
import sys

EXIT_UNTOLD = 1


def main(descriptor: int) -> int:
    """Run a node for the program at the other end of `descriptor`, whose closing ends it."""
    gc.disable()  # classes and functions only grow in number here: looking for garbage among them takes 10 ms
    from regrove.node.process import core_process as _for_the_zygote  # noqa: F401
    from regrove.node.process.configuration import NodeConfig
    from regrove.node.process.framing import read_frame
    from regrove.node.process.zygote_client import fork_zygote

    gc.freeze()  # no collection looks at them while the application is imported
    gc.enable()
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    frame = read_frame(connection)
    if frame is None:
        return EXIT_UNTOLD
    config = NodeConfig.from_plain(frame)
    zygote = fork_zygote(config.app, config.import_path, [connection])
    from regrove.node.process.manager_process import serve

    gc.unfreeze()
    return serve(config, connection, zygote)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
