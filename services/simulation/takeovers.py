"""Whether a standby had good reason to begin to speak: the log lacked its words for long enough, and it had looked.

Readers would not notice one that speaks without a reason, because they drop what they know. So this looks at what the
process did: when it folded what, and when it last asked where its output partitions end.
"""

from collections.abc import Callable, Sequence
from typing import Any

from services.adapters.ports import Append
from services.domain.core import Output
from services.domain.messages import Frame, decode_header
from services.domain.topics import TopicPartition
from services.simulation.audit.accounts import Contradiction
from services.simulation.broker import SimulatedLog


class TakeoverCheck:
    """Watches one run of a standby. log: as that process sees it. now: virtual seconds."""

    def __init__(self, source: str, log: SimulatedLog, takeover_after_s: float, now: Callable[[], float]) -> None:
        self._source = source
        self._log = log
        self._takeover_after_s = takeover_after_s
        self._now = now
        self._recovered_at = 0.0
        self._folded_at: dict[tuple[TopicPartition, int], float] = {}
        """By output partition and sequence."""

    def recovered(self) -> None:
        """What is not heard of in `applied` was folded by now."""
        self._recovered_at = self._now()

    def applied(self, _frame: Frame[Any], _offset: int, outputs: list[Output]) -> None:
        """See `CoreShell.on_applied`."""
        for partition, first, records in outputs:
            for sequence in range(first, first + len(records)):
                self._folded_at[partition, sequence] = self._now()

    def check(self, first_words: Sequence[Append]) -> None:
        """Raises Contradiction when the first words of a takeover are without reason."""
        oldest = self._now()
        for partition, data, _ in first_words:
            first = decode_header(data).first_sequence
            oldest = min(oldest, self._folded_at.get((partition, first), self._recovered_at))
            if self._last_looked_at(partition) >= first:
                raise Contradiction(f"{self._source} takes over and says {first} to {partition}, which it had read")
        looked_at = min(self._log.asked_end[partition][1] for partition, *_ in first_words)
        if looked_at < oldest + self._takeover_after_s:
            raise Contradiction(f"{self._source} takes over at {self._now():.3f} by what it read at {looked_at:.3f}")

    def _last_looked_at(self, partition: TopicPartition) -> int:
        """The source's last sequence below the end that it knows of."""
        end, _ = self._log.asked_end[partition]
        headers = map(decode_header, self._log.committed(partition)[:end])
        said = [header.first_sequence + len(header.records) - 1 for header in headers if header.source == self._source]
        return max(said, default=0)
