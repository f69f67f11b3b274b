"""`exchange operator`: look after the Exchanges of a Kubernetes cluster."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.local_guards import bound
from services.cli.running import open_logs
from services.domain.errors import ConfigError


class LogLevel(StrEnum):
    """The least level that is logged."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def operator(
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Look after the Exchanges of this namespace; may be given again. Else WATCH_NAMESPACES."),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", help="Of all namespaces, whatever WATCH_NAMESPACES says.")
    ] = False,
    peering: Annotated[
        str | None,
        typer.Option(envvar="PEERING", help="The peering object by which several replicas agree on who works."),
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Without peering, whatever PEERING says: no other replica runs.")
    ] = False,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Where /metrics and /healthz are.")] = 8080,
    log_level: Annotated[LogLevel, typer.Option(envvar="LOG_LEVEL", help="The least level.")] = LogLevel.info,
) -> None:
    """Look after the Exchanges of a Kubernetes cluster: make what they ask for, and keep it so.

    The cluster is the one that the process runs in, else that of KUBECONFIG. SIGTERM lets it finish what it has begun,
    and end; exchanges go on without it. Logs go to stdout, or to files when LOG_DIR is set.
    """
    from exchange_operator.run import Options, run

    if namespace and all_namespaces:
        raise ConfigError("--namespace and --all-namespaces: give one of them")
    watched = [] if all_namespaces else namespace or os.environ.get("WATCH_NAMESPACES", "").replace(",", " ").split()
    options = Options(tuple(dict.fromkeys(watched)), "" if standalone else peering or "")
    folder = Path(os.environ["LOG_DIR"]) if os.environ.get("LOG_DIR") else None
    with (
        bound("0.0.0.0", metrics_port, "--metrics-port") as listener,  # noqa: S104  a pod's own address
        open_logs(folder, log_level.value, "operator") as logs,
    ):
        lines = logs.service("operator")
        with logs.capturing_stdlib(lines):
            run(options, listener, lines)
