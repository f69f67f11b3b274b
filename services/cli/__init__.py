"""The command line: `exchange COMMAND`. Each command is a module of its own, imported when it is called."""

import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, NoReturn

import typer

from services.cli.lazy import LazyCommand, LazyGroup
from services.domain.errors import ConfigError, ExchangeError, InvariantError

EXIT_FAILED = 1
"""Something did not work or did not add up."""
EXIT_WRONG_USE = 2
"""A wrong argument or setting."""
EXIT_TOLD_TO_STOP = 128 + signal.SIGTERM
"""SIGTERM came, and the command does not end well by itself then, as those do that run until it comes."""


class ExchangeCommands(LazyGroup):
    """What there is to call, in the order of the help text."""

    lazy = (
        LazyCommand("local", "services.cli.local", "local", "Run the whole exchange in this process."),
        LazyCommand("demo", "services.cli.demo", "demo", "Play a whole trading day against a running exchange."),
        LazyCommand("smoke", "services.cli.smoke", "smoke_command", "See whether a running exchange trades."),
        LazyCommand("top", "services.cli.top", "top", "Show the figures of a running exchange, live."),
        LazyCommand("replay", "services.cli.replay", "replay", "Feed recorded NASDAQ order flow through it."),
        LazyCommand("verify", "services.cli.verify", "verify", "Recompute everything from the log, and compare."),
        LazyCommand("simulate", "services.cli.simulate", "simulate_command", "Try to break it, by seeds."),
        LazyCommand("gateway", "services.cli.processes", "gateway", "Run one gateway of the distributed form."),
        LazyCommand("ubscore", "services.cli.processes", "ubscore", "Run one account shard."),
        LazyCommand("matcher", "services.cli.processes", "matcher", "Run one matcher shard."),
        LazyCommand("settlement", "services.cli.processes", "settlement", "Run settlement into the database."),
        LazyCommand("order-history", "services.cli.processes", "order_history", "Run order history into it."),
        LazyCommand("operator", "services.cli.operator", "operator", "Look after Exchanges in a Kubernetes cluster."),
        LazyCommand("keys", "services.cli.keys", "keys", "Make the secret key and the first API keys."),
        LazyCommand("topics", "services.cli.topics", "app", "Make the topics of the distributed form."),
        LazyCommand("schema", "services.cli.schema", "app", "Make the tables of the distributed form."),
        LazyCommand("backup", "services.cli.backup", "app", "Make, list, verify and restore backups."),
        LazyCommand("log", "services.cli.log", "app", "Look at the topics of the log."),
        LazyCommand("log-level", "services.cli.log_level", "log_level", "Change what running processes log."),
        LazyCommand("journal", "services.cli.journal", "app", "Verify or repair the journals of the cores."),
    )


app = typer.Typer(
    name="exchange",
    cls=ExchangeCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A spot exchange that runs itself: gateway, balance authority, matching engine, settlement, order history.",
)


def _print_version(asked: bool) -> None:
    if asked:
        try:
            typer.echo(f"exchange {version('exchange-platform')}")
        except PackageNotFoundError:
            typer.echo("exchange (not installed)")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


def _end(*_: Any) -> NoReturn:
    print("exchange: stopped, as it was told", file=sys.stderr)
    sys.exit(EXIT_TOLD_TO_STOP)


def main() -> None:
    """The `exchange` program. A failure that can be expected ends in sentences on stderr and a status, no traceback."""
    # The first process of a container does not even get a signal that it has not asked for.
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except (ExchangeError, InvariantError) as error:
        for sentence in str(error).splitlines():
            print(f"exchange: {sentence}", file=sys.stderr)
        sys.exit(EXIT_WRONG_USE if isinstance(error, ConfigError) else EXIT_FAILED)
