"""The hash chains of the matchers' results, as order history reads them: who changed the log is seen at once."""

from collections.abc import Sequence

from services.adapters.logs.logs import ServiceLog
from services.adapters.metrics import catalogue
from services.adapters.metrics.prometheus import Metrics
from services.domain.messages import MatchResult
from services.domain.topics import TopicPartition, matcher_source
from services.matcher.chain import ChainVerifier


class ChainWatch:
    """Follows the chains of those matchers whose results this process reads.

    A break is told, counted, and stepped over: what has been matched is settled by now, and to stop the history of
    orders would hide it from their users.
    """

    def __init__(self, metrics: Metrics, lines: ServiceLog) -> None:
        self._breaks = metrics.tally(catalogue.CHAIN_BREAKS)
        self._lines = lines

    def follow(self, partition: TopicPartition) -> "FollowedChain":
        """The chain of a partition of engine.outputs, from whatever result comes next."""
        source = matcher_source(partition.partition)
        self._breaks.add((source,), 0)
        return FollowedChain(self, source)

    def broken(self, source: str, reason: str) -> None:
        """Tell of a break."""
        self._breaks.add((source,))
        self._lines.error("hash_chain_broken", source=source, reason=reason)


class FollowedChain:
    """One chain. Call it with the records of each frame, in order; those before its first are believed."""

    def __init__(self, watch: ChainWatch, source: str) -> None:
        self._watch = watch
        self._source = source
        self._chain: ChainVerifier | None = None

    def __call__(self, records: Sequence[MatchResult]) -> None:
        for result in records:
            if self._chain is None:
                self._chain = ChainVerifier(result.sequence - 1, result.previous_hash)
            if broken := self._chain.feed(result):
                self._watch.broken(self._source, broken.reason)
                # One break is one: what comes next has to continue this one.
                self._chain = ChainVerifier(result.sequence, result.hash, result.position)
