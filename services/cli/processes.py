"""`exchange gateway`, `ubscore`, `matcher`, `settlement`, `order-history`: the processes of the distributed form."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from services.adapters.logs.logs import Logs
from services.cli.local_guards import bound, locked
from services.cli.options import Config
from services.cli.process_life import live
from services.config import Settings, load_settings
from services.domain.errors import ConfigError

# Runtime modules are imported where they are used: a wrong argument is answered before the services are loaded.

InternalHost = Annotated[
    str | None, typer.Option(show_default="127.0.0.1", help="Where health, metrics and reads are answered.")
]
InternalPort = Annotated[int | None, typer.Option(show_default="3100", help="And the port; 0: any free one.")]
Shard = Annotated[int, typer.Option(envvar="SHARD", min=0, help="Which shard, from 0 on.")]
Member = Annotated[
    int, typer.Option("--shard", envvar="SHARD", min=0, help="Its number among its kind; no two have the same.")
]
Gateway = Annotated[
    int, typer.Option("--shard", envvar="SHARD", min=0, help="A number for its logs; several may have the same.")
]
DataDir = Annotated[Path, typer.Option(envvar="DATA_DIR", help="Folder for journals and snapshots; made when missing.")]
Standby = Annotated[
    bool, typer.Option("--standby", envvar="STANDBY", help="Follow the active one, and speak when it is silent.")
]


def gateway(
    shard: Gateway = 0,
    config: Config = None,
    host: Annotated[str | None, typer.Option(show_default="127.0.0.1", help="Address of the REST API.")] = None,
    port: Annotated[int | None, typer.Option(show_default="3001", help="And its port; 0: any free one.")] = None,
    internal_host: InternalHost = None,
    internal_port: InternalPort = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Declare BTC, ETH, USDT and two symbols, and fund three users.")
    ] = False,
) -> None:
    """Run one gateway: the REST API. There may be any number of them.

    It declares the settings' assets and symbols that are missing, and listens once commands will be answered. SIGTERM
    lets it answer what was asked, and end.
    """
    options = {"server.host": host, "server.port": port}
    settings = _settings(config, internal_host, internal_port, options)
    with bound(settings.server.host, settings.server.port) as listener:

        def make(logs: Logs) -> Any:
            from services.runtime.distributed.gateway import GatewayProcess

            return GatewayProcess(shard, settings, logs, listener, demo=demo)

        live("gateway", shard, settings, make)


def ubscore(
    shard: Shard = 0,
    config: Config = None,
    data_dir: DataDir = Path("data"),
    standby: Standby = False,
    internal_host: InternalHost = None,
    internal_port: InternalPort = None,
) -> None:
    """Run one account shard: the only authority on its users' balances.

    Its journal and snapshots are in DATA_DIR/ubscore-N. A standby has a folder and an address of its own.
    """

    def make(settings: Settings, place: Any, logs: Logs) -> Any:
        from services.runtime.distributed.ubscore import ubscore_process

        return ubscore_process(shard, place, settings, logs)

    settings = _settings(config, internal_host, internal_port)
    _run_core("ubscore", shard, settings, settings.ubscore, data_dir, standby, make)


def matcher(
    shard: Shard = 0,
    config: Config = None,
    data_dir: DataDir = Path("data"),
    standby: Standby = False,
    internal_host: InternalHost = None,
    internal_port: InternalPort = None,
) -> None:
    """Run one matcher shard: the books of its symbols.

    Its journal and snapshots are in DATA_DIR/matcher-N. A standby has a folder and an address of its own.
    """

    def make(settings: Settings, place: Any, logs: Logs) -> Any:
        from services.runtime.distributed.matcher import matcher_process

        return matcher_process(shard, place, settings, logs)

    settings = _settings(config, internal_host, internal_port)
    _run_core("matcher", shard, settings, settings.matcher, data_dir, standby, make)


def settlement(
    shard: Member = 0,
    config: Config = None,
    internal_host: InternalHost = None,
    internal_port: InternalPort = None,
) -> None:
    """Run settlement: balances, their ledger, and trades, into the database. Several share the account shards."""
    settings = _settings(config, internal_host, internal_port)

    def make(logs: Logs) -> Any:
        from services.runtime.distributed.settlement import settlement_process

        return settlement_process(shard, settings, logs)

    live("settlement", shard, settings, make)


def order_history(
    shard: Member = 0,
    config: Config = None,
    internal_host: InternalHost = None,
    internal_port: InternalPort = None,
) -> None:
    """Run order history: orders, their updates and statistics, into the database. Several share the shards."""
    settings = _settings(config, internal_host, internal_port)

    def make(logs: Logs) -> Any:
        from services.runtime.distributed.order_history import order_history_process

        return order_history_process(shard, settings, logs)

    live("order-history", shard, settings, make)


def _settings(
    config: Path | None, internal_host: str | None, internal_port: int | None, options: Mapping[str, Any] | None = None
) -> Settings:
    internal = {"internal.host": internal_host, "internal.port": internal_port}
    return load_settings(config, os.environ, internal | dict(options or {}))


def _run_core(
    service: str, shard: int, settings: Settings, core: Any, data_dir: Path, standby: bool, make: Any
) -> None:
    """core: the service's own settings. make: settings, place, logs -> the process."""
    if shard >= core.shards:
        raise ConfigError(f"--shard {shard}: wants less than {core.shards}, the number of shards in the settings")
    folder = data_dir / f"{service}-{shard}"
    with locked(folder):

        def make_there(logs: Logs) -> Any:
            from services.runtime.connections import open_log
            from services.runtime.credentials import secrets_of
            from services.runtime.distributed.core import CorePlace

            token, log = secrets_of(settings).internal_token, open_log(settings, f"{service}-{shard}")
            return make(settings, CorePlace(folder, log, token, standby, core.takeover_after_ms), logs)

        live(service, shard, settings, make_there)
