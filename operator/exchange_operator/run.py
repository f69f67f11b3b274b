"""The life of the operator's process. `exchange operator` calls it."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import kopf

from exchange_operator.cluster import Cluster
from exchange_operator.handlers import MAX_PASSES, configure, registered
from exchange_operator.kubernetes_api import connect
from exchange_operator.metrics import Metrics, MetricsServer
from exchange_operator.passes import Passes
from exchange_operator.reconcile import Reconciler
from exchange_operator.symbol_sync import SymbolSync
from services.adapters.logs.logs import ServiceLog
from services.domain.errors import ExchangeError


@dataclass(frozen=True)
class Options:
    """What the command line says. namespaces: all when empty. peering: name of the peering object; alone without."""

    namespaces: Sequence[str] = ()
    peering: str = ""


def run(options: Options, listener: socket.socket, lines: ServiceLog) -> None:
    """Look after exchanges until SIGTERM or SIGINT. listener: bound, for metrics and health.

    Raises ConfigError when the cluster is not prepared for it, and ExchangeError when it cannot go on.
    """
    asyncio.run(_run(options, listener, lines))


async def _run(options: Options, listener: socket.socket, lines: ServiceLog) -> None:
    metrics = Metrics(version("exchange-platform"))
    server = MetricsServer(metrics)
    await server.start(listener)
    cluster = Cluster(connect())
    symbols = SymbolSync(cluster, lines)
    reconciler = Reconciler(cluster, symbols, metrics, lines)
    threads = ThreadPoolExecutor(MAX_PASSES, thread_name_prefix="pass")
    try:
        await asyncio.to_thread(cluster.require, options.namespaces, options.peering)
        lines.info("starting", namespaces=list(options.namespaces) or "all", peering=options.peering or "none")
        await _operate(options, Passes(reconciler.run, threads, metrics, lines), threads)
    finally:
        # A pass that is under way ends before its next step. Until then, the process says that it is healthy.
        await asyncio.to_thread(threads.shutdown)
        await server.close()
        symbols.close()
        cluster.close()
    lines.info("stopped")


async def _operate(options: Options, passes: Passes, threads: ThreadPoolExecutor) -> None:
    settings = kopf.OperatorSettings()
    configure(settings, threads)
    # Without it, kopf asks for the name of the user, whom a container need not have.
    os.environ.setdefault("POD_ID", f"{socket.gethostname()}-{os.getpid()}")
    try:
        await kopf.operator(
            registry=registered(passes),
            settings=settings,
            clusterwide=not options.namespaces,
            namespaces=list(options.namespaces),
            standalone=not options.peering,
            peering_name=options.peering or None,
            priority=_priority(),
        )
    except Exception as error:
        raise ExchangeError(f"the operator cannot go on: {type(error).__name__}: {error}") from error


def _priority() -> int:
    """Who has run the longest works: no two replicas start in the same microsecond, and a tie would stop both."""
    return -(time.time_ns() // 1_000)
