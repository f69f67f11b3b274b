"""The parts of one gateway, put together once; every noun's routes are given this."""

from services.adapters.ports import BalanceReads
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition, account_shard
from services.gateway.auth import Authenticator
from services.gateway.catalogue import Catalogue
from services.gateway.commands import CommandBus, RequestIds
from services.gateway.deps import GatewayDeps
from services.gateway.dispatcher import Dispatcher
from services.gateway.keys import KeyRing
from services.gateway.limits import RateLimiter
from services.gateway.metrics import GatewayMetrics
from services.gateway.outcomes import OutcomeTracker
from services.gateway.tasks import run_together


class Gateway:
    """One gateway. `run` must be running for commands to be answered."""

    def __init__(self, deps: GatewayDeps) -> None:
        config = deps.config
        self.deps = deps
        self.config = config
        self.clock = deps.clock
        self.queries = deps.queries
        self.event = deps.event
        self.metrics = metrics = GatewayMetrics(deps.metrics)
        self.catalogue = Catalogue(deps.balances[0])
        self.tracker = OutcomeTracker(
            deps.log,
            deps.clock,
            config.account_shards,
            config.matcher_shards,
            config.max_in_flight,
            config.answer_timeout_s,
            self.catalogue.forget,
        )
        self.bus = CommandBus(
            deps.log,
            deps.clock,
            config.instance,
            config.account_shards,
            config.max_in_flight,
            self.tracker.fail,
            config.frame_limits,
            metrics.written,
            tracing=deps.tracing,
        )
        request_ids = RequestIds(deps.request_prefix)
        self.dispatcher = Dispatcher(self.bus, self.tracker, request_ids, config.account_shards, metrics.ended)
        self.keys = KeyRing(deps.keys, deps.clock, config.encryption_key, config.key_cache_ms)
        self.limiter = RateLimiter(deps.clock, config.caller_rate, config.anonymous_rate, metrics.limited)
        self.auth = Authenticator(config, deps.clock, self.keys, self.limiter)
        metrics.watch_commands(lambda: self.tracker.waiting, lambda: self.bus.in_flight)

    async def run(self) -> None:
        """Write commands and read outcomes until cancelled. Raises GapError when answers cannot be trusted."""
        await run_together(self.bus.run(), self.tracker.run())

    def balances_of(self, user_id: int) -> BalanceReads:
        """The reads of the account shard that owns `user_id`."""
        return self.deps.balances[account_shard(user_id, self.config.account_shards)]

    async def commands_end(self, user_id: int) -> int:
        """Where the commands to the account shard of `user_id` end: every one that is durable is before this offset."""
        shard = account_shard(user_id, self.config.account_shards)
        return await self.deps.log.end(TopicPartition(BALANCE_OPERATIONS, shard))
