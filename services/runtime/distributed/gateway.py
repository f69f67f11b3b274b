"""A gateway as a process: the REST API, on cores of other processes."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

from fastapi import FastAPI

from services.adapters.internal.client import RemoteBalanceReads, RemoteBookReads, RemoteCore
from services.adapters.internal.neighbours import Neighbour, Neighbours
from services.adapters.internal.server import Health
from services.adapters.internal.shared_books import SharedBookReads
from services.adapters.logs.logs import Logs
from services.adapters.ports import CoreState
from services.adapters.store_calls import CallWatch, calls_meter, reads_meter, requests_meter
from services.adapters.tracing.calls import traced
from services.config import Settings
from services.domain.errors import ConfigError, CoreUnavailable, LogError, StoreUnavailable
from services.domain.topics import matcher_source, ubscore_source
from services.gateway.app import create_app
from services.gateway.commands import PREFIX_BITS
from services.gateway.deps import GatewayDeps
from services.gateway.errors import ApiError
from services.gateway.gateway import Gateway
from services.gateway.server import Server
from services.runtime.connections import open_log, open_store
from services.runtime.credentials import credentials_of, register_keys, secrets_of
from services.runtime.declarations import declare, fund_demo_users
from services.runtime.demo_data import with_demo
from services.runtime.distributed.process import STOPPING, ProcessParts
from services.runtime.gateway_config import gateway_config
from services.runtime.watched import watch_gateway_lag
from services.shell.projection_shell import RUNNING

SERVER: Final = "http server"


class GatewayProcess:
    """`Process` of one gateway. It listens once commands will be answered, keys are known and instruments declared.

    listener: bound, for the REST API. demo: also declare the demo's instruments, and fund its users.
    """

    core_reads = None

    def __init__(
        self,
        member: int,
        settings: Settings,
        logs: Logs,
        listener: socket.socket,
        *,
        demo: bool = False,
    ) -> None:
        self._parts = parts = ProcessParts("gateway", member, with_demo(settings) if demo else settings, logs)
        self.name, self.metrics = parts.name, parts.metrics
        self._member, self._demo = member, demo
        self._listener = listener
        self._log, self._store = open_log(settings, self.name), open_store(settings)
        parts.traces.watch_requests(parts.metrics)
        self._store.on_call = self._traced(calls_meter(parts.metrics))
        self._store.on_request = requests_meter(parts.metrics)
        self._secrets, self._credentials = secrets_of(settings), credentials_of(settings)
        token = self._secrets.internal_token
        self._accounts = _remote_cores("ubscore", ubscore_source, settings.ubscore.addresses, token)
        self._matchers = _remote_cores("matcher", matcher_source, settings.matcher.addresses, token)
        self._neighbours = Neighbours(neighbours_of(settings))
        for core in (*self._accounts, *self._matchers):
            core.on_read = self._traced(reads_meter(parts.metrics, core.name), core.name)
        self._gateway: Gateway | None = None
        self._server: Server | None = None

    def _traced(self, watch: CallWatch, core: str = "") -> CallWatch:
        return watch if self._parts.tracing is None else traced(watch, core)

    async def health(self) -> Health:
        states = self._parts.states()
        if self._gateway is not None and self._parts.state == RUNNING:
            lags = await self._gateway.tracker.lags()
            states["outcomes"] = "; ".join(f"{name} {problem}" for name, problem in lags.items()) or RUNNING
        return Health(all(state == RUNNING for state in states.values()), states)

    async def start(self) -> None:
        parts = self._parts
        await parts.insist(self._store.check, "the store", StoreUnavailable)
        app = create_app(self._deps())
        gateway: Gateway = app.state.gateway
        self._gateway = gateway
        watch_gateway_lag(parts.metrics, parts.watch_ends(self._log), gateway.tracker)
        parts.tasks.spawn(self.name, gateway.run())
        await parts.tasks.run_beside(self._prepare(gateway))
        self._serve(app)
        parts.state = RUNNING

    def _deps(self) -> GatewayDeps:
        settings = self._parts.settings
        config = gateway_config(
            settings,
            self._secrets,
            account_shards=settings.ubscore.shards,
            matcher_shards=settings.matcher.shards,
            instance=str(self._member),
        )
        return GatewayDeps(
            log=self._log,
            clock=self._parts.clock,
            queries=self._store,
            keys=self._store,
            balances=[RemoteBalanceReads(core) for core in self._accounts],
            books=[SharedBookReads(RemoteBookReads(core)) for core in self._matchers],
            config=config,
            request_prefix=secrets.randbits(PREFIX_BITS),
            health=self._parts.states,
            states=self._states,
            event=self._parts.lines.info,
            tracing=self._parts.tracing,
            metrics=self.metrics,
            log_levels=self._parts.logs.levels,
            others=self._neighbours.ask,
        )

    async def _states(self) -> Sequence[CoreState]:
        return await asyncio.gather(*[core.state() for core in (*self._accounts, *self._matchers)])

    async def _prepare(self, gateway: Gateway) -> None:
        parts = self._parts
        await parts.insist(lambda: _require_started(gateway), "the log", LogError)
        now_ms, key = parts.clock.time_ms(), self._secrets.encryption_key
        await parts.insist(
            lambda: register_keys(self._credentials, self._store, key, now_ms), "the store", StoreUnavailable
        )
        # Whoever is asked may not be there yet, or restart meanwhile; saying it again changes nothing.
        await parts.insist(lambda: self._declare(gateway), "the cores", CoreUnavailable, LogError, ApiError)

    async def _declare(self, gateway: Gateway) -> None:
        parts, dispatcher = self._parts, gateway.dispatcher
        shards, matchers = gateway.deps.balances, len(self._matchers)
        for sentence in await declare(parts.settings, shards, dispatcher, parts.clock.time_ms, matchers):
            parts.lines.info("settings_differ", reason=sentence)
        if self._demo:
            await fund_demo_users(gateway.balances_of, dispatcher, parts.clock.time_ms)

    def _serve(self, app: FastAPI) -> None:
        self._server = Server(app)
        self._parts.tasks.spawn(SERVER, self._server.serve(sockets=[self._listener]))

    async def wait_failed(self) -> None:
        try:
            await self._parts.tasks.wait_failed()
        except Exception:
            # No answer comes any more: whoever waits for one is told so first, and does not hold up the end.
            await self._parts.tasks.end(self.name, cancel=True)
            raise

    async def stop(self) -> None:
        """Be not ready; after `gateway.drain` take no more requests, answer those taken, and let go of everything."""
        parts = self._parts
        parts.state = STOPPING
        parts.tasks.let_end()
        if self._server is not None:
            await self._drain()
            self._server.should_exit = True
            await parts.tasks.end(SERVER)
        await parts.end()
        for core in (*self._accounts, *self._matchers):
            await core.close()
        await self._neighbours.close()
        await self._log.close()
        await self._store.close()

    async def _drain(self) -> None:
        """Serve on for a while, as long as all goes well: whoever sends requests here must first notice."""
        failing = asyncio.ensure_future(self._parts.tasks.wait_failed())
        await asyncio.wait([failing], timeout=self._parts.settings.gateway.drain_ms / 1000)
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)


async def _require_started(gateway: Gateway) -> None:
    """Raises LogError until every partition of answers is being read."""
    if not gateway.tracker.started:
        problems = await gateway.tracker.lags()
        raise LogError("; ".join(f"{name} {problem}" for name, problem in problems.items()) or "answers are not read")


def neighbours_of(settings: Settings) -> list[Neighbour]:
    """All processes but the gateways, by their addresses. Of a service that has none, that it has none."""
    found = [
        Neighbour(source(shard) + _instance(instance), url)
        for source, cores in ((ubscore_source, settings.ubscore), (matcher_source, settings.matcher))
        for shard, urls in enumerate(cores.addresses)
        for instance, url in enumerate(urls)
    ]
    for name, key, members in (
        ("settlement", "settlement", settings.settlement),
        ("order-history", "orderHistory", settings.order_history),
    ):
        found += [Neighbour(f"{name}-{member}", url) for member, url in enumerate(members.addresses)]
        if not members.addresses:
            found.append(Neighbour(name, "", missing=f"nobody said where it is: set key `{key}.addresses`"))
    return found


def _instance(number: int) -> str:
    """What is behind the core's name in that of its instance."""
    return "" if number == 0 else "-standby" if number == 1 else f"-standby-{number}"


def _remote_cores(
    section: str, source: Callable[[int], str], addresses: Sequence[Sequence[str]], token: str
) -> list[RemoteCore]:
    if not addresses:
        raise ConfigError(
            f"key `{section}.addresses` is missing: by shard, a list of URLs such as [[http://{section}-0:3100]]"
        )
    return [RemoteCore(source(shard), urls, token) for shard, urls in enumerate(addresses)]
