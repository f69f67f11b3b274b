"""What the shells and the gateway need from the world. An adapter is one implementation of a port.

Every adapter of the log, the directory or the store passes the same contract suite, in tests/contracts.

Everything that waits is async; nothing here blocks the event loop.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from services.domain.instruments import Asset, Symbol
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rows import (
    ApiKeyRow,
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)
from services.domain.topics import TopicPartition

Headers = tuple[tuple[str, bytes], ...]
"""What travels beside a frame and is not part of what it says: nothing that is decided may depend on it."""


class StoredFrame(NamedTuple):
    """A frame at its place on the log. headers: as they were given to `append`, or none."""

    offset: int
    data: bytes
    headers: Headers = ()


class Append(NamedTuple):
    """A frame to be written. headers: at most a few kilobytes."""

    partition: TopicPartition
    data: bytes
    headers: Headers = ()


class Log(Protocol):
    """Totally ordered partitions of frames. Offsets start at 0 and have no holes."""

    async def append(self, frames: Sequence[Append]) -> list[int]:
        """Write frames and return their offsets once they are durable.

        Frames to one partition keep their order, and so do calls awaited one after the other. When it raises
        LogError, or is cancelled, any of them may have been written or not.
        """

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        """Up to `max_frames` durable frames from `offset` on, in order; empty when there is none yet.

        Raises LogError when `offset` is below `start` or beyond `end`.
        """

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        """Return once the frame at `offset` can be read. Cancel it to stop waiting."""

    async def start(self, partition: TopicPartition) -> int:
        """The offset of the oldest frame that is kept (`end` when there is none)."""

    async def end(self, partition: TopicPartition) -> int:
        """The offset that the next frame will get."""

    async def close(self) -> None:
        """Finish what was asked and let go of everything."""


class Directory(Protocol):
    """A flat folder of files, as the journal needs it: what was synced survives a crash, the rest may be torn."""

    async def names(self) -> list[str]:
        """Sorted file names."""

    async def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""

    async def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, which is made when missing. Not durable before `sync`."""

    async def sync(self, name: str) -> None:
        """Make durable all that was appended to the file, and its existence."""

    async def replace(self, name: str, data: bytes) -> None:
        """Write a whole file so that after a crash there is the old one, none, or the new one, never a part."""

    async def truncate(self, name: str, size: int) -> None:
        """Cut the file to `size` bytes, durably."""

    async def remove(self, name: str) -> None:
        """Remove the file, durably."""


class Clock(Protocol):
    """The time, for those who may know it: gateways and shells."""

    def time_ms(self) -> int:
        """Milliseconds since the epoch."""

    async def sleep(self, seconds: float) -> None: ...


class SettlementBatch(NamedTuple):
    """All effects of some consecutive frames, and the position behind them.

    Rows are absolute, so that writing a batch twice is harmless.
    """

    trades: Sequence[SettledTradeRow]
    balances: Sequence[BalanceRow]
    ledger: Sequence[LedgerRow]
    progress: ProgressRow


class HistoryBatch(NamedTuple):
    """As SettlementBatch, for order_history. An order is in `active` or `closed`, or in neither when it was refused.

    updates: every update of every order of the batch, oldest first; the last one of an order made its other rows.
    """

    active: Sequence[OrderRow]
    closed: Sequence[tuple[int, int]]
    """(user_id, order_id) of orders that are no longer active, those among them that were opened in this batch."""
    history: Sequence[OrderRow]
    updates: Sequence[OrderUpdateRow]
    statistics: Sequence[StatisticsRow]
    progress: ProgressRow


class ProjectionStore(Protocol):
    """What settlement and order_history write. Every method may raise StoreUnavailable: repeat the call.

    A store needs no transactions. When a write is cut short, by the end of this process, of the store or of both, any
    of its rows may be there, and more of them may come late; the same events are folded again from the stored
    position, with other limits between the batches. Effects are there exactly once all the same, since

    - progress comes last: it is written when every other row of the batch is durable;
    - a balance comes after its ledger: it is written when every ledger row and trade of the batch is durable.
      Settlement leaves out the ledger of versions that the stored balance has reached, and nothing else;
    - rows are absolute, and a pure function of the log up to the last event in them, whoever folded it and from where:
      ledger, trades and updates tell of one event; a balance of its `version`; an order of its last update, and all
      updates of an order come from one source; statistics of their `sequence`, behind which a fold goes on counting;
    - the row of the later event wins, whatever comes first: a balance by `version`, progress by `next_offset`,
      statistics by `sequence`, an order by the sequence of its last update. What was taken out of the active orders
      stays out. So a late repeat, and a process that was taken for dead and goes on, change nothing that is newer,
      and two that write the same partition at one time write the same rows.
    """

    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        """Where `reader` stands on `partition`; None when it never wrote."""

    async def balances(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], BalanceRow]:
        """The stored row of each (user_id, asset_id); absent when there is none."""

    async def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        """The ledger row of the highest seq of each (user_id, asset_id); absent when there is none."""

    async def statistics(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StatisticsRow]:
        """The stored row of each (user_id, shard); absent when there is none."""

    async def write_settlement(self, batch: SettlementBatch) -> None:
        """Write all of it, durably, in the order stated above."""

    async def write_history(self, batch: HistoryBatch) -> None:
        """Write all of it, durably, in the order stated above."""


class QueryStore(Protocol):
    """What the gateway's queries read, in pages; `before` is a cursor: the last row's place in the order stated.

    A cursor names its row whole: rows that share a millisecond are neither skipped nor given twice.
    """

    async def ledger(
        self, user_id: int, asset: str | None, limit: int, before: tuple[str, int] | None
    ) -> list[LedgerRow]:
        """Highest (asset_id, seq) first; `before` is the last row's."""

    async def order(self, user_id: int, order_id: int) -> OrderRow | None:
        """The newest state of an order of this user, open or not."""

    async def active_orders(self, user_id: int, symbol: str | None) -> list[OrderRow]:
        """Lowest order_id first."""

    async def order_history(
        self,
        user_id: int,
        symbol: str | None,
        from_ms: int,
        to_ms: int,
        limit: int,
        before: tuple[int, int] | None,
    ) -> list[OrderRow]:
        """Orders created in [from_ms, to_ms], newest (created_ms, order_id) first; `before` is the last row's."""

    async def order_by_cid(self, user_id: int, cid: str) -> OrderRow | None:
        """The newest order of this user with this client order id, those aside that were refused for repeating it."""

    async def order_statistics(self, user_id: int) -> StatisticsRow:
        """Totals over all shards; zeros when there are none."""

    async def trades_by_user(
        self, user_id: int, symbol: str | None, limit: int, before: tuple[int, str, int] | None
    ) -> list[SettledTradeRow]:
        """Highest (time_ms, symbol, trade_id) first; `before` is the last row's."""

    async def trades_by_symbol(self, symbol: str, limit: int, before: int | None) -> list[SettledTradeRow]:
        """Highest trade_id first; `before` is the last row's."""


class AuditStore(Protocol):
    """What `exchange verify` and backups read: whole tables, each row once, in any order.

    What is written meanwhile may be among it or not.
    """

    def all_balances(self) -> AsyncIterator[BalanceRow]: ...

    def all_ledger(self) -> AsyncIterator[LedgerRow]: ...

    def all_trades(self) -> AsyncIterator[SettledTradeRow]: ...

    def all_active_orders(self) -> AsyncIterator[OrderRow]: ...

    def all_orders(self) -> AsyncIterator[OrderRow]:
        """Table `order_history`."""

    def all_order_updates(self) -> AsyncIterator[OrderUpdateRow]: ...

    def all_statistics(self) -> AsyncIterator[StatisticsRow]: ...


class KeyStore(Protocol):
    """API keys. Written by gateways alone."""

    async def put_key(self, row: ApiKeyRow) -> None:
        """Add a key or replace the one of this name, durably."""

    async def get_key(self, api_key: str) -> ApiKeyRow | None: ...

    async def keys_of(self, user_id: int) -> list[ApiKeyRow]:
        """Oldest first."""

    def all_keys(self) -> AsyncIterator[ApiKeyRow]:
        """In any order; for backups."""


class BackupStore(ProjectionStore, AuditStore, KeyStore, Protocol):
    """What a backup reads, and what a restore writes as its projections do, with rows and a position of its own."""


class BalanceView(NamedTuple):
    """One balance, in smallest units."""

    asset: str
    available: int
    reserved: int
    version: int


class OpenOrderView(NamedTuple):
    """An order that ubscore knows to be open; `filled_*` are what it has settled."""

    order_id: int
    user_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    filled_lots: int
    filled_tick_lots: int
    created_ms: int


class Instruments(NamedTuple):
    """All assets and symbols, in the order of their declaration."""

    assets: dict[str, Asset]
    symbols: dict[str, Symbol]


class PolicyView(NamedTuple):
    """An account shard's limits."""

    order_window_ms: int
    transfer_window_ms: int
    max_open_orders: int


class BalanceReads(Protocol):
    """ubscore's internal read interface, answered from memory. It sees everything that was answered before.

    That of another process raises CoreUnavailable when no core answers in time.
    """

    async def next_offset(self) -> int:
        """The first frame of its partition of balance.operations whose effects it does not see yet."""

    async def policy(self) -> PolicyView: ...

    async def instruments(self) -> Instruments: ...

    async def user_status(self, user_id: int) -> bool | None:
        """Whether the account is suspended; None when there is no such account."""

    async def balances(self, user_id: int) -> list[BalanceView]: ...

    async def open_orders(self, user_id: int, symbol: str | None = None) -> list[OpenOrderView]: ...

    async def open_order(self, user_id: int, order_id: int, cid: str = "") -> OpenOrderView | None:
        """By order id, or by client order id when `order_id` is 0."""


class DepthView(NamedTuple):
    """A book's best levels, best first, as (price_ticks, quantity_lots)."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    last_price_ticks: int
    """Of the newest trade; 0 when there was none."""
    sequence: int
    """Of the newest MatchResult in it."""


class BookReads(Protocol):
    """The matcher's internal read interface, answered from memory. As for BalanceReads, another process may be away."""

    async def depth(self, symbol: str, limit: int) -> DepthView:
        """Empty when the symbol never had an order."""


class CoreState(NamedTuple):
    """A core at one moment. digest: blake2b-256 of the whole state. role: active or standby."""

    source: str
    next_offset: int
    digest: bytes
    role: str


class CoreSnapshot(NamedTuple):
    """A core's whole state at one moment. data: what a journal keeps as a snapshot (see `shell.core_shell`)."""

    source: str
    next_offset: int
    digest: bytes
    """Of the core, as in CoreState."""
    data: bytes
