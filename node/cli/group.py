"""The `regrove` command: its table of commands, and nothing that a `--help` does not need."""

from __future__ import annotations

import importlib
from typing import Final

import click

# command -> (module, attribute, short help); the short help stands here so that `regrove --help` imports no command
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "new": ("making", "new", "Make a project: an application, its tests in simulation, a README."),
    "start": ("running", "start", "Run a node in the foreground."),
    "up": ("running", "up", "Run a cluster of several nodes on this machine, in the foreground."),
    "status": ("looking", "status", "Say how a node is; exit 0 ready, 1 degraded, 2 down."),
    "tree": ("looking", "tree", "Show the supervision tree of every core."),
    "members": ("looking", "members", "List the nodes this node knows."),
    "links": ("looking", "links", "List the links between this node's cores and others."),
    "config": ("following", "config", "Show every value a node runs with, and where it came from."),
    "events": ("following", "events", "Show what happens to a node from now on."),
    "logs": ("following", "logs", "Show the last lines of a node's log, and follow it."),
    "call": ("asking", "call", "Send a request to a named isolate and print its answer."),
    "shell": ("prompting", "shell", "Open a Python prompt with the cluster connected."),
    "check": ("checking", "check", "Build an application's tree, validate its specs, print the sums of its bounds."),
    "revive": ("looking", "revive", "Give quarantined cores a new life at once."),
    "drain": ("leaving", "drain", "Take no new work, and wait until the node is quiet; it stays up."),
    "leave": ("leaving", "leave", "Drain a node, then stop it in order."),
    "sim": ("simulating", "sim", "Run an application in simulation: seeds, faults, minimal stories of what fails."),
    "stop": ("running", "stop", "Stop a node in order."),
    "keygen": ("keys", "keygen", "Make a CURVE key pair."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, and listed from `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command = getattr(importlib.import_module(f"regrove.node.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"regrove {installed_version()}")
        ctx.exit()


def installed_version() -> str:
    """The version pip installed, or `unknown` when regrove runs from a folder."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("regrove")
    except PackageNotFoundError:
        return "unknown"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command has its own --help. Try: regrove start examples.counter:app\n\n"
    'Completion in bash: eval "$(_REGROVE_COMPLETE=bash_source regrove)"; likewise zsh_source, fish_source.',
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
def regrove() -> None:
    """Nodes of supervised isolates: run them, look at them, talk to them."""
