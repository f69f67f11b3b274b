"""Limits of an account shard, as they travel through the log."""

from typing import Final, NamedTuple

_DAY_MS: Final = 24 * 60 * 60 * 1000


class Policy(NamedTuple):
    """order_window_ms, transfer_window_ms: how long first answers are kept, in log time. max_open_orders: per user."""

    order_window_ms: int
    transfer_window_ms: int
    max_open_orders: int

    @property
    def is_valid(self) -> bool:
        """Windows from a second to ten years; at least one open order."""
        windows = (self.order_window_ms, self.transfer_window_ms)
        return all(1_000 <= window <= 3_660 * _DAY_MS for window in windows) and 0 < self.max_open_orders <= 1_000_000


DEFAULT_POLICY: Final = Policy(order_window_ms=60 * 60 * 1000, transfer_window_ms=30 * _DAY_MS, max_open_orders=10_000)
"""Client order ids for an hour, transfer ids for thirty days."""
