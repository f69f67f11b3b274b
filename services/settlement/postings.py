"""Balance events to rows, a pure fold: what happened to balances becomes ledger, balances and settled trades.

A balance's version must be the stored one plus one. What is not above the stored version is a repeat and is left out;
what is further ahead is a gap, and stops settlement.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.adapters.ports import SettlementBatch
from services.domain.errors import GapError
from services.domain.messages import (
    BalanceChange,
    ChangeKind,
    OrderAccepted,
    OrderClosed,
    TradeSettled,
    TransferCompleted,
)
from services.domain.orders import Side
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow, SettledTradeRow

BalanceKey = tuple[int, str]
"""(user_id, asset_id)"""

MAX_KNOWN: Final = 200_000
"""Balances whose version is remembered; beyond it they are asked from the store again. About 30 MB."""

# Looked up by number: an enum's name is a slow attribute, and its events' ids are made for every row.
_KINDS: Final = ("", *(kind.name for kind in ChangeKind))
_EVENT_PREFIXES: Final = tuple(name.lower() for name in _KINDS)


class Postings:
    """Events in, the rows of one batch out: `add` frames, ask the store for what is `unknown`, `finish`.

    It remembers the versions of balances from batch to batch, so it must see every frame once and in order.
    """

    def __init__(self, max_known: int = MAX_KNOWN) -> None:
        self.conflicts = 0
        """How often a balance's stored row was ahead of the events at hand."""
        self._max_known = max_known
        self._versions: dict[BalanceKey, int] = {}
        self._handlers: Final[dict[type, Any]] = {
            TransferCompleted: self._transfer_completed,
            OrderAccepted: self._order_accepted,
            TradeSettled: self._trade_settled,
            OrderClosed: self._order_closed,
        }
        self._clear()

    def _clear(self) -> None:
        self._assumed: dict[BalanceKey, int] = {}
        self._newest: dict[BalanceKey, tuple[BalanceChange, int]] = {}
        self._ledger: list[LedgerRow] = []
        self._trades: list[SettledTradeRow] = []

    def add(self, source: str, first_sequence: int, records: Sequence[Any]) -> None:
        """Take the records of one frame. Raises GapError when a balance's version skips one."""
        handlers = self._handlers
        for event in records:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def unknown(self) -> list[BalanceKey]:
        """The balances whose stored versions `finish` needs."""
        return list(self._assumed)

    def finish(self, stored: Mapping[BalanceKey, int], progress: ProgressRow) -> SettlementBatch:
        """The rows of all that was added since the last batch.

        stored: versions of the `unknown` balances; absent when there is no row.
        Raises GapError when an event's version is beyond the stored one plus one.
        """
        for key, version in self._assumed.items():
            self._hold_against(key, version, stored.get(key, 0))
        balances = [
            BalanceRow(user_id, asset, change.available, change.reserved, change.version, time_ms)
            for (user_id, asset), (change, time_ms) in self._newest.items()
        ]
        batch = SettlementBatch(self._trades, balances, self._ledger, progress)
        if len(self._versions) > self._max_known:
            # This batch is not written yet: the store cannot tell its versions.
            self._versions = {key: self._versions[key] for key in (*self._assumed, *self._newest)}
        self._clear()
        return batch

    def _hold_against(self, key: BalanceKey, assumed: int, stored: int) -> None:
        """Check what was assumed of a balance when it was first seen; drop what the store has already."""
        if stored < assumed:
            raise GapError(_gap(key, stored, assumed + 1))
        if stored == assumed:
            return
        self.conflicts += 1
        self._ledger = [row for row in self._ledger if (row.user_id, row.asset_id) != key or row.seq > stored]
        if self._versions[key] <= stored:
            self._versions[key] = stored
            del self._newest[key]

    def _transfer_completed(self, event: TransferCompleted) -> None:
        self._post(event.change, event.transfer_id, event.time_ms)

    def _order_accepted(self, event: OrderAccepted) -> None:
        self._post(event.change, f"order:{event.order_id}", event.time_ms)

    def _order_closed(self, event: OrderClosed) -> None:
        if event.change is not None:
            self._post(event.change, f"order:{event.order_id}", event.time_ms)

    def _trade_settled(self, event: TradeSettled) -> None:
        trade = event.trade
        self._trades.append(_trade_row(event))
        reference = f"trade:{event.symbol}:{trade.trade_id}"
        time_ms = event.time_ms
        for change in event.changes:
            self._post(change, reference, time_ms)

    def _post(self, change: BalanceChange, reference: str, time_ms: int) -> None:
        user_id, asset, version = change.user_id, change.asset, change.version
        key = (user_id, asset)
        versions = self._versions
        last = versions.get(key)
        if last is None:
            self._assumed[key] = version - 1
        elif version != last + 1:
            if version > last:
                raise GapError(_gap(key, last, version))
            return
        versions[key] = version
        self._newest[key] = (change, time_ms)
        kind = change.kind
        self._ledger.append(
            LedgerRow(
                user_id,
                asset,
                version,
                _KINDS[kind],
                change.available_delta,
                change.reserved_delta,
                change.available,
                change.reserved,
                reference,
                # As BalanceChange.event_id.
                f"{_EVENT_PREFIXES[kind]}_{user_id}_{asset}_{version}",
                time_ms,
            )
        )


def _gap(key: BalanceKey, stored: int, version: int) -> str:
    return f"user {key[0]}, asset {key[1]}: the store has version {stored}, the next event has version {version}"


def _trade_row(event: TradeSettled) -> SettledTradeRow:
    trade = event.trade
    maker, taker = (trade.maker_user_id, trade.maker_order_id), (trade.taker_user_id, trade.taker_order_id)
    buyer_is_maker = trade.taker_side is Side.Sell
    buyer, seller = (maker, taker) if buyer_is_maker else (taker, maker)
    return SettledTradeRow(
        symbol=event.symbol,
        trade_id=trade.trade_id,
        price_ticks=trade.price_ticks,
        quantity_lots=trade.quantity_lots,
        base_amount=event.base_amount,
        quote_amount=event.quote_amount,
        buyer_user_id=buyer[0],
        seller_user_id=seller[0],
        buyer_order_id=buyer[1],
        seller_order_id=seller[1],
        buyer_fee=event.buyer_fee,
        seller_fee=event.seller_fee,
        buyer_is_maker=buyer_is_maker,
        matcher_shard=event.matcher_shard,
        engine_sequence=event.engine_sequence,
        time_ms=event.time_ms,
    )
