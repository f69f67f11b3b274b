"""What ubscore must say to every record of balance.operations, kept in plain dictionaries.

Written from the messages' contract alone. It finds orders by walking over all of them, keeps every first answer for
ever unless its span is over, and does its own arithmetic.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from msgspec.structs import replace

from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import (
    AssetUpdated,
    BalanceChange,
    CancelAccepted,
    CancelAll,
    CancelOrder,
    CancelRequest,
    ChangeKind,
    CommandRejected,
    CreateUser,
    Event,
    MatchReport,
    NewOrder,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderRepeated,
    PlaceOrder,
    PolicyUpdated,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    SymbolUpdated,
    Trade,
    TradeSettled,
    TransferCompleted,
    TransferIn,
    TransferOut,
    TransferRejected,
    TransferRepeated,
    UserUpdated,
)
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject

_LARGEST = 2**63 - 1
_CID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-")


class Contradiction(Exception):
    """Something on the log cannot follow from what came before it; the message says what."""


@dataclass
class Symbol:
    """A symbol's settings, and how many smallest units its steps are."""

    settings: SymbolSettings
    lot_units: int
    """Base units in a lot."""
    step_units: int
    """Quote units in one tick × one lot."""
    least_units: int
    """The minimum notional, in quote units."""


@dataclass
class Open:
    """An open order and what is reserved for it."""

    order_id: int
    op: PlaceOrder
    symbol: str
    asset: str
    reserved: int


@dataclass
class FirstAnswer:
    """The first answer to a cid or transfer id, and the command that got it."""

    op: Any
    time_ms: int
    order_id: int = 0
    code: Reject = Reject.NONE
    change: BalanceChange | None = None


class NaiveAccounts:
    """One account shard. fee_user: the user id of its fee account."""

    def __init__(self, shard: int, shards: int) -> None:
        self.shard = shard
        self.shards = shards
        self.fee_user = -1 - shard
        self.balances: dict[tuple[int, str], tuple[int, int, int]] = {}
        """(user, asset) -> (available, reserved, version)"""
        self.orders: dict[int, Open] = {}
        self.deposited: Counter[str] = Counter()
        """Deposits less withdrawals, per asset."""
        self._suspended: dict[int, bool] = {}
        self._assets: dict[str, int] = {}
        self._symbols: dict[str, Symbol] = {}
        self._windows = (3_600_000, 30 * 86_400_000)
        self._most_orders = 10_000
        self._now_ms = 0
        self._order_count = 0
        self._by_cid: dict[tuple[int, str], FirstAnswer] = {}
        self._by_transfer: dict[str, FirstAnswer] = {}
        self._events: list[Event] = []
        self._forwards: list[tuple[int, Any]] = []

    def apply(self, op: Any) -> tuple[list[Event], list[tuple[int, Any]]]:
        """What must be said about one record: events, and what goes to which matcher shard."""
        self._events, self._forwards = [], []
        self._now_ms = max(self._now_ms, op.time_ms)
        match op:
            case PlaceOrder():
                self._place(op)
            case CancelOrder():
                self._cancel(op, [order for order in self._of(op.user_id) if self._is_named(order, op)])
            case CancelAll():
                self._cancel_all(op)
            case TransferIn() | TransferOut():
                self._transfer(op)
            case MatchReport():
                self._settle(op)
            case _:
                self._administer(op)
        return self._events, self._forwards

    def end_frame(self) -> None:
        """First answers are forgotten between frames, once their span is over and their order is closed."""
        for key, answer in list(self._by_cid.items()):
            if answer.time_ms < self._now_ms - self._windows[0]:
                if answer.order_id in self.orders:
                    answer.time_ms = self._now_ms
                else:
                    del self._by_cid[key]
        for name, transfer in list(self._by_transfer.items()):
            if transfer.time_ms < self._now_ms - self._windows[1]:
                del self._by_transfer[name]

    # Orders

    def _place(self, op: PlaceOrder) -> None:
        key = (op.user_id, op.cid)
        first = self._by_cid.get(key)
        if first is not None and _bare(first.op) == _bare(op):
            self._events.append(
                OrderRepeated(op.request_id, op.time_ms, op.user_id, op.cid, first.order_id, first.code)
            )
            return
        self._order_count += 1
        order_id = self.shard * 2**44 + self._order_count
        code = Reject.DUPLICATE_CLIENT_ORDER_ID if first is not None else self._refusal(op)
        said = (op.side, op.order_type, op.time_in_force, op.price_ticks)
        head = (op.request_id, op.time_ms, order_id, op.user_id, op.cid, op.symbol, *said)
        if code:
            self._events.append(OrderRejected(*head, op.quantity_lots, op.quote_amount, code))
        else:
            self._accept(op, order_id, head)
        if first is None and op.user_id in self._suspended and code != Reject.INVALID_CLIENT_ORDER_ID:
            self._by_cid[key] = FirstAnswer(op, self._now_ms, order_id, code)

    def _accept(self, op: PlaceOrder, order_id: int, head: tuple[Any, ...]) -> None:
        symbol = self._symbols[op.symbol]
        asset, amount, lots = self._need(op, symbol)
        change = self._move(op.user_id, asset, ChangeKind.Reserve, -amount, amount)
        self.orders[order_id] = Open(order_id, op, op.symbol, asset, amount)
        self._events.append(OrderAccepted(*(*head, lots, op.quote_amount, change)))
        settings = symbol.settings
        budget = op.quote_amount // symbol.step_units
        order = NewOrder(
            op.request_id, op.time_ms, order_id, op.user_id, op.cid, op.symbol, op.side, op.order_type,
            op.time_in_force, op.self_trade_prevention, op.price_ticks, lots, budget, settings.maker_fee_micros,
            settings.taker_fee_micros,
        )  # fmt: skip
        self._forwards.append((settings.matcher_shard, order))

    def _refusal(self, op: PlaceOrder) -> Reject:
        """The first thing that is wrong with an order; NONE when nothing is."""
        return next((code for code, wrong in self._faults(op) if wrong), Reject.NONE)

    def _faults(self, op: PlaceOrder) -> Iterator[tuple[Reject, bool]]:
        """Everything that may be wrong, in the order in which a client is told. Lazy: later ones need the earlier."""
        yield Reject.UNKNOWN_USER, op.user_id not in self._suspended
        yield Reject.INVALID_CLIENT_ORDER_ID, not (0 < len(op.cid) <= 36 and _CID_CHARACTERS.issuperset(op.cid))
        yield Reject.USER_SUSPENDED, self._suspended[op.user_id]
        yield Reject.UNKNOWN_SYMBOL, op.symbol not in self._symbols
        symbol = self._symbols[op.symbol]
        yield Reject.SYMBOL_HALTED, symbol.settings.status == SymbolStatus.Halted
        yield Reject.SYMBOL_CANCEL_ONLY, symbol.settings.status == SymbolStatus.CancelOnly
        yield Reject.INVALID_PRICE, not 0 < op.price_ticks <= _LARGEST
        yield Reject.INVALID_QUANTITY, not (0 <= op.quantity_lots <= _LARGEST and 0 <= op.quote_amount <= _LARGEST)
        yield Reject.INVALID_QUANTITY, (op.quantity_lots == 0) == (op.quote_amount == 0)
        is_market = op.order_type == OrderType.Market
        yield Reject.INVALID_ORDER_TYPE, is_market and op.time_in_force == TimeInForce.FOK
        yield Reject.INVALID_QUANTITY, not is_market and op.quote_amount != 0
        yield (
            Reject.INVALID_ORDER_TYPE,
            op.order_type == OrderType.LimitMaker and op.time_in_force != TimeInForce.GTC,
        )
        notional = op.quote_amount or op.price_ticks * op.quantity_lots * symbol.step_units
        yield Reject.NOTIONAL_TOO_LARGE, notional > _LARGEST // 2 or op.quantity_lots * symbol.lot_units > _LARGEST
        yield Reject.MIN_NOTIONAL, notional < symbol.least_units
        band, reference = symbol.settings.band_micros, op.reference_price_ticks
        off = abs(op.price_ticks - reference)
        yield Reject.PRICE_BAND, bool(band and reference) and Fraction(off, max(reference, 1)) > Fraction(band, 10**6)
        yield Reject.TOO_MANY_OPEN_ORDERS, len(self._of(op.user_id)) >= self._most_orders
        asset, amount, lots = self._need(op, symbol)
        by_budget = op.side == Side.Buy and op.quote_amount > 0
        yield Reject.INVALID_QUANTITY, by_budget and amount < symbol.step_units
        yield Reject.INVALID_QUANTITY, not by_budget and lots == 0
        yield Reject.NOTIONAL_TOO_LARGE, lots * symbol.lot_units > _LARGEST
        yield Reject.INSUFFICIENT_BALANCE, self.balances.get((op.user_id, asset), (0, 0, 0))[0] < amount

    def _need(self, op: PlaceOrder, symbol: Symbol) -> tuple[str, int, int]:
        """What an order reserves, how much of it, and for how many lots."""
        lots = op.quantity_lots
        if op.side == Side.Buy:
            return symbol.settings.quote, op.quote_amount or op.price_ticks * lots * symbol.step_units, lots
        if op.quote_amount:
            lots = op.quote_amount // (op.price_ticks * symbol.step_units)
        return symbol.settings.base, lots * symbol.lot_units, lots

    def _of(self, user_id: int) -> list[Open]:
        return [order for order in self.orders.values() if order.op.user_id == user_id]

    def _is_named(self, order: Open, op: CancelOrder) -> bool:
        if op.order_id:
            return order.order_id == op.order_id
        first = self._by_cid.get((op.user_id, op.cid))
        return first is not None and first.order_id == order.order_id

    def _cancel_all(self, op: CancelAll) -> None:
        if op.user_id in self._suspended and op.symbol and op.symbol not in self._symbols:
            self._refuse(op, op.user_id, Reject.UNKNOWN_SYMBOL)
            return
        self._cancel(op, [order for order in self._of(op.user_id) if op.symbol in ("", order.symbol)])

    def _cancel(self, op: CancelOrder | CancelAll, orders: list[Open]) -> None:
        if op.user_id not in self._suspended:
            self._refuse(op, op.user_id, Reject.UNKNOWN_USER)
        elif not orders and isinstance(op, CancelOrder):
            self._refuse(op, op.user_id, Reject.UNKNOWN_ORDER)
        else:
            ids = [order.order_id for order in orders]
            self._events.append(CancelAccepted(op.request_id, op.time_ms, op.user_id, ids))
            for order in orders:
                request = CancelRequest(op.request_id, op.time_ms, order.order_id, op.user_id)
                self._forwards.append((self._symbols[order.symbol].settings.matcher_shard, request))

    # Money

    def _move(self, user_id: int, asset: str, kind: ChangeKind, available: int, reserved: int) -> BalanceChange:
        before = self.balances.get((user_id, asset), (0, 0, 0))
        after = (before[0] + available, before[1] + reserved, before[2] + 1)
        if min(after) < 0:
            raise Contradiction(f"user {user_id}: {kind.name} leaves {after[0]} available, {after[1]} reserved {asset}")
        self.balances[user_id, asset] = after
        return BalanceChange(user_id, asset, kind, available, reserved, *after)

    def _transfer(self, op: TransferIn | TransferOut) -> None:
        first = self._by_transfer.get(op.transfer_id)
        head = (op.request_id, op.time_ms, op.transfer_id)
        if first is not None and _bare(first.op) == _bare(op):
            self._events.append(TransferRepeated(*head, op.user_id, first.code, first.change))
            return
        sign = 1 if isinstance(op, TransferIn) else -1
        code = Reject.DUPLICATE_TRANSFER_ID if first is not None else self._transfer_refusal(op, sign)
        change = None
        if code:
            self._events.append(TransferRejected(*head, op.user_id, op.asset, op.amount, code))
        else:
            kind = ChangeKind.Deposit if sign > 0 else ChangeKind.Withdrawal
            change = self._move(op.user_id, op.asset, kind, sign * op.amount, 0)
            self.deposited[op.asset] += sign * op.amount
            self._events.append(TransferCompleted(*head, change))
        if first is None and op.user_id in self._suspended:
            self._by_transfer[op.transfer_id] = FirstAnswer(op, self._now_ms, 0, code, change)

    def _transfer_refusal(self, op: TransferIn | TransferOut, sign: int) -> Reject:
        if op.user_id not in self._suspended:
            return Reject.UNKNOWN_USER
        if op.asset not in self._assets:
            return Reject.UNKNOWN_ASSET
        if not 1 <= op.amount <= _LARGEST:
            return Reject.INVALID_AMOUNT
        if sign > 0:
            too_large = self.deposited[op.asset] + op.amount > _LARGEST // 2 // self.shards
            return Reject.BALANCE_TOO_LARGE if too_large else Reject.NONE
        if self._suspended[op.user_id]:
            return Reject.USER_SUSPENDED
        short = self.balances.get((op.user_id, op.asset), (0, 0, 0))[0] < op.amount
        return Reject.INSUFFICIENT_BALANCE if short else Reject.NONE

    def _owns(self, user_id: int) -> bool:
        return user_id % self.shards == self.shard

    def _settle(self, report: MatchReport) -> None:
        for trade in report.trades:
            self._settle_trade(report, trade)
        for closed in report.closes:
            if not self._owns(closed.user_id):
                continue
            order = self.orders.pop(closed.order_id, None)
            if order is None:
                raise Contradiction(f"order {closed.order_id} is closed, but was not open")
            change = None
            if order.reserved:
                change = self._move(order.op.user_id, order.asset, ChangeKind.Release, order.reserved, -order.reserved)
            self._events.append(
                OrderClosed(
                    report.matcher_shard, report.engine_sequence, report.request_id, report.time_ms, closed.order_id,
                    closed.user_id, closed.status, change,
                )
            )  # fmt: skip

    def _settle_trade(self, report: MatchReport, trade: Trade) -> None:
        symbol = self._symbols[report.symbol]
        base = trade.quantity_lots * symbol.lot_units
        quote = trade.price_ticks * trade.quantity_lots * symbol.step_units
        maker = (trade.maker_user_id, trade.maker_order_id, trade.maker_fee_micros)
        taker = (trade.taker_user_id, trade.taker_order_id, trade.taker_fee_micros)
        buyer, seller = (taker, maker) if trade.taker_side == Side.Buy else (maker, taker)
        fees = (_fee(base, buyer[2]), _fee(quote, seller[2]))
        changes: list[BalanceChange] = []
        if self._owns(buyer[0]):
            order = self._traded(buyer[1])
            paid = quote if order.op.quote_amount else order.op.price_ticks * trade.quantity_lots * symbol.step_units
            order.reserved -= paid
            names = (symbol.settings.quote, symbol.settings.base)
            self._swap(changes, buyer[0], names, (paid - quote, paid), base, fees[0])
        if self._owns(seller[0]):
            self._traded(seller[1]).reserved -= base
            names = (symbol.settings.base, symbol.settings.quote)
            self._swap(changes, seller[0], names, (0, base), quote, fees[1])
        if changes:
            head = (report.matcher_shard, report.engine_sequence, report.time_ms, report.symbol)
            self._events.append(TradeSettled(*head, trade, base, quote, *fees, changes))

    def _traded(self, order_id: int) -> Open:
        if order_id not in self.orders:
            raise Contradiction(f"order {order_id} traded, but was not open")
        return self.orders[order_id]

    def _swap(
        self,
        changes: list[BalanceChange],
        user: int,
        assets: tuple[str, str],
        spent: tuple[int, int],
        got: int,
        fee: int,
    ) -> None:
        """Give assets[0] from what is reserved, get assets[1] less the fee. spent: what comes back, what is used up."""
        changes.append(self._move(user, assets[0], ChangeKind.Trade, spent[0], -spent[1]))
        changes.append(self._move(user, assets[1], ChangeKind.Trade, got - fee, 0))
        if fee:
            changes.append(self._move(self.fee_user, assets[1], ChangeKind.Fee, fee, 0))

    # Administration

    def _refuse(self, op: Any, user_id: int, code: Reject) -> None:
        self._events.append(CommandRejected(op.request_id, op.time_ms, user_id, code))

    def _administer(self, op: Any) -> None:
        head = (op.request_id, op.time_ms)
        code = self._setting_refusal(op)
        if code:
            self._refuse(op, getattr(op, "user_id", 0), code)
            return
        match op:
            case CreateUser():
                self._suspended.setdefault(op.user_id, False)
                self._events.append(UserUpdated(*head, op.user_id, self._suspended[op.user_id]))
            case SetUserStatus():
                self._suspended[op.user_id] = op.suspended
                self._events.append(UserUpdated(*head, op.user_id, op.suspended))
            case SetAsset():
                self._assets[op.name] = op.scale
                self._events.append(AssetUpdated(*head, op.name, op.scale))
            case SetSymbol():
                self._symbols[op.settings.name] = self._symbol(op.settings)
                self._events.append(SymbolUpdated(*head, op.settings))
            case SetPolicy():
                self._windows = (op.order_window_ms, op.transfer_window_ms)
                self._most_orders = op.max_open_orders
                self._events.append(PolicyUpdated(*head, *self._windows, self._most_orders))

    def _setting_refusal(self, op: Any) -> Reject:
        """Of the mistakes that simulated administrators make."""
        match op:
            case CreateUser() if not self._owns(op.user_id) or op.user_id <= 0:
                return Reject.UNKNOWN_USER
            case SetUserStatus() if op.user_id not in self._suspended:
                return Reject.UNKNOWN_USER
            case SetAsset() if self._assets.get(op.name, op.scale) != op.scale:
                return Reject.ASSET_SCALE_FIXED
            case SetSymbol():
                return self._symbol_refusal(op.settings)
            case SetPolicy() if op.max_open_orders < 1 or min(op.order_window_ms, op.transfer_window_ms) < 1_000:
                return Reject.INVALID_SETTING
        return Reject.NONE

    def _symbol_refusal(self, settings: SymbolSettings) -> Reject:
        if settings.base not in self._assets or settings.quote not in self._assets:
            return Reject.UNKNOWN_ASSET
        if not (0 <= settings.maker_fee_micros <= 100_000 and 0 <= settings.taker_fee_micros <= 100_000):
            return Reject.INVALID_SETTING
        known = self._symbols.get(settings.name)
        if known is None:
            return Reject.NONE
        steps = (settings.tick_size, settings.lot_size, settings.matcher_shard)
        fixed = (known.settings.tick_size, known.settings.lot_size, known.settings.matcher_shard)
        return Reject.NONE if steps == fixed else Reject.SYMBOL_STEPS_FIXED

    def _symbol(self, settings: SymbolSettings) -> Symbol:
        base, quote = 10 ** self._assets[settings.base], 10 ** self._assets[settings.quote]
        lot = Fraction(settings.lot_size)
        steps = (lot * base, Fraction(settings.tick_size) * lot * quote, Fraction(settings.min_notional) * quote)
        if any(step.denominator != 1 for step in steps):
            raise Contradiction(f"{settings.name} was let in with steps that are no whole number of units")
        return Symbol(settings, *(int(step) for step in steps))


def _fee(amount: int, micros: int) -> int:
    """Rounded up."""
    whole, rest = divmod(amount * micros, 10**6)
    return whole + (rest > 0)


def _bare(op: Any) -> Any:
    """A command without what may differ when the same one is sent again."""
    if isinstance(op, PlaceOrder):
        price = 0 if op.order_type == OrderType.Market else op.price_ticks
        return _replaced(op, price_ticks=price, reference_price_ticks=0)
    return _replaced(op)


def _replaced(op: Any, **changes: Any) -> Any:
    return replace(op, request_id=0, time_ms=0, **changes)
