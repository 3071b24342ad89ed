"""`python -m regrove` is the `regrove` command."""

from __future__ import annotations

import sys

from regrove.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
