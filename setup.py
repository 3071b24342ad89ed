"""Compiles what a simulated delivery crosses, when asked to: `REGROVE_COMPILE=1 pip install .`

That needs a C compiler and takes a minute or two. Otherwise the same files are interpreted; what they do is the same,
digests included (docs/decisions/speed-of-a-simulation.md).
"""

from __future__ import annotations

import os
from typing import Any

from setuptools import setup

COMPILED = (
    *(
        f"regrove/node/core/{name}.py"
        for name in (
            "address", "births", "calls", "codec", "core", "inbox", "inspection", "interpreter", "iowaits", "isolate",
            "lifecycle", "mailbox", "registry", "remote", "requests", "route", "scheduler", "sending", "signals",
            "single", "strict", "supervising", "supervisor_node", "timers", "together", "waiters",
        )
    ),
    *(
        f"regrove/node/simulation/{name}.py"
        for name in (
            "clock", "cores", "disk", "driver", "edge", "ends", "network", "packets", "seeds", "trace", "tracing",
        )
    ),
    *(f"regrove/supervisor/{name}.py" for name in ("intensity", "slots")),
    *(
        f"regrove/transport/{name}.py"
        for name in ("bulk", "credit", "greeting", "incoming", "lifecycle", "link", "links", "runs", "session", "wire")
    ),
)  # fmt: skip
OPTIONS = (
    "--explicit-package-bases", "--ignore-missing-imports", "--no-warn-unused-ignores", "--no-warn-return-any",
)  # fmt: skip


def extensions() -> dict[str, Any]:
    """What `setup` is told beside pyproject.toml."""
    if os.environ.get("REGROVE_COMPILE") != "1":
        return {}
    try:
        from mypyc.build import mypycify
    except ImportError:  # pip asks first what the build needs
        return {"setup_requires": ["mypy>=1.8"]}
    level = os.environ.get("REGROVE_OPTIMISE", "3")
    # The library they share is named inside the package: beside it, an editable install would not find it.
    modules = mypycify([*OPTIONS, *COMPILED], opt_level=level, group_name="regrove.node.core.compiled")
    for module in modules:
        module.extra_compile_args.append("-fwrapv")  # draws wrap at 64 bits, whatever Python was built with
    return {"ext_modules": modules}


setup(**extensions())
