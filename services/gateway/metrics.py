"""The gateway's numbers."""

from collections.abc import Callable
from typing import Any, Final

from services.adapters.metrics import catalogue
from services.adapters.metrics.prometheus import Metrics
from services.domain.messages import CommandRejected, OrderRejected, OrderRepeated, TransferRejected, TransferRepeated
from services.gateway.errors import ApiError
from services.gateway.outcomes import Outcome

_RESULTS: Final[dict[type, str]] = {
    OrderRejected: "rejected",
    CommandRejected: "rejected",
    TransferRejected: "rejected",
    OrderRepeated: "repeated",
    TransferRepeated: "repeated",
}
"""By the first word of the account shard; every other one says that the command was accepted."""


class GatewayMetrics:
    """Requests by route and status, commands by what became of them, refusals, and the frames that were written."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._requests = metrics.tally(catalogue.GATEWAY_REQUESTS)
        self._request_seconds = metrics.distributions(catalogue.GATEWAY_REQUEST)
        self._refused = metrics.tally(catalogue.GATEWAY_REFUSED)
        self._limited = metrics.tally(catalogue.GATEWAY_RATE_LIMITED)
        self._commands = metrics.tally(catalogue.GATEWAY_COMMANDS)
        self._command_seconds = metrics.distributions(catalogue.GATEWAY_COMMAND)
        self._frame_records = metrics.distribution(catalogue.GATEWAY_FRAME_RECORDS)
        self._frame_bytes = metrics.distribution(catalogue.GATEWAY_FRAME_BYTES)
        self._append_seconds = metrics.distribution(catalogue.GATEWAY_APPEND)

    def watch_commands(self, waiting: Callable[[], int], unwritten: Callable[[], int]) -> None:
        """Look these up when somebody scrapes."""
        self._metrics.watch(catalogue.GATEWAY_IN_FLIGHT, waiting)
        self._metrics.watch(catalogue.GATEWAY_UNWRITTEN, unwritten)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. route: the path's template, so that ids do not become labels."""
        self._requests.add((method, route, str(status)))
        self._request_seconds.of(method, route).observe(seconds)

    def refused(self, error: ApiError) -> None:
        """Count an answer that is an error."""
        self._refused.add((str(error.code), (error.extra or {}).get("reject", "")))

    def limited(self, caller: str) -> None:
        """Count a request that was refused for its rate."""
        self._limited.add((caller,))

    def ended(self, command: Any, seconds: float, outcome: Outcome | None) -> None:
        """Count a command that was waited for."""
        name = type(command).__name__
        if outcome is None:
            self._commands.add((name, "failed"))
            return
        self._commands.add((name, _RESULTS.get(type(outcome.event), "accepted")))
        self._command_seconds.of(name).observe(seconds)

    def written(self, records: int, size: int, seconds: float) -> None:
        """Count a frame that is durable."""
        self._frame_records.observe(records)
        self._frame_bytes.observe(size)
        self._append_seconds.observe(seconds)
