"""How a command ends: exit codes, and one sentence with its mend instead of a traceback.

0 done · 1 it failed (status: degraded) · 2 status: down · 64 usage · 69 no node was reached · 70 our bug · 130 Ctrl-C
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from regrove.interrupting import raise_at_interrupt
from regrove.node.core.errors import RegroveError

FAILED: Final = 1
DOWN: Final = 2
USAGE: Final = 64  # EX_USAGE of sysexits.h
UNAVAILABLE: Final = 69  # EX_UNAVAILABLE
BUG: Final = 70  # EX_SOFTWARE
INTERRUPTED: Final = 130
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run `command` and turn whatever it raises into a sentence on stderr and an exit code."""
    try:
        raise_at_interrupt()
        result = command.main(args=list(arguments), prog_name="regrove", standalone_mode=False)
        return result if type(result) is int else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
        return USAGE
    except click.UsageError as problem:
        return _usage(problem)
    except click.ClickException as problem:
        return complain(problem.format_message(), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        let_go_of_stdout()
        return FAILED
    except OSError as problem:
        if problem.errno not in FULL or problem.filename is not None:
            return _unexpected(problem)
        let_go_of_stdout()
        return complain(f"what this command prints cannot be written: {problem.strerror}; make room there", FAILED)
    except RegroveError as problem:
        _traceback_if_asked()
        return complain(str(problem), code_of(problem))
    except Exception as problem:
        return _unexpected(problem)


def _unexpected(problem: Exception) -> int:
    _traceback_if_asked()
    return _leaf(problem) or complain(_bug(problem), BUG)


def let_go_of_stdout() -> None:
    """Nobody takes what is written there: let it go nowhere, the flush at exit too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _leaf(problem: Exception) -> int | None:
    """Errors of `supervisor/` and `transport/`, which know nothing of ours above them, say what to mend as well."""
    from regrove.supervisor.rules import SpecError
    from regrove.transport.base import TransportError
    from regrove.transport.keys import KeyProblem

    return complain(str(problem), FAILED) if isinstance(problem, SpecError | TransportError | KeyProblem) else None


def complain(text: str, code: int) -> int:
    """Say `text` on stderr and answer `code`."""
    click.echo(f"regrove: {text}", err=True)
    return code


def code_of(problem: RegroveError) -> int:
    """The exit code of an error of ours."""
    from regrove.node.cli.literals import LiteralError
    from regrove.node.cli.values import BadValue
    from regrove.node.client.errors import NoNode, NotConnected
    from regrove.node.process.configuration import ConfigError
    from regrove.node.process.loading import ApplicationError

    match problem:
        case LiteralError() | BadValue() | ConfigError() | ApplicationError():
            return USAGE
        case NoNode() | NotConnected():
            return UNAVAILABLE
        case _:
            return FAILED


def _usage(problem: click.UsageError) -> int:
    where = problem.ctx.command_path if problem.ctx is not None else "regrove"
    text = problem.format_message().rstrip(".")
    return complain(f"{text[:1].lower()}{text[1:]}; see `{where} --help`", USAGE)


def _bug(problem: Exception) -> str:
    from regrove.node.cli.group import installed_version

    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"this is a bug of regrove, not yours: {type(problem).__name__}: {problem} (regrove {installed_version()}, "
        f"Python {python}, {sys.platform}); run it again with REGROVE_DEBUG=1 and send the maintainers what it prints"
    )


def _traceback_if_asked() -> None:
    if os.environ.get("REGROVE_DEBUG"):
        click.echo(traceback.format_exc(), err=True, nl=False)
