"""What each recorded message means to an exchange: messages -> commands.

    1 new               a Limit GTC order of a buyer or a seller
    2 partial cancel    cancel, then a new order with the rest: it loses its place in the queue, where NASDAQ's keeps it
    3 delete            a cancel
    4 execution         an IOC order from the other side, at that price and of that size
    5 hidden, 6 cross   counted, not sent: no visible order takes part
    7 halt              the symbol's status: -1 Halted, 0 CancelOnly (quoting resumes), 1 Trading

Buyers only buy and sellers only sell, so that no order ever meets one of its own user. Client order ids come from the
recorded order id and line, so that a cancel needs no answer to its order first.

Orders that the file speaks of but never places are of two kinds. Those at a level of the book before message 1 were
resting then, and are seeded with it. The others were placed out of the file's sight, beyond the ten best levels: they
are placed right before the first message about them, with all that the file goes on to do to them.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import CancelOrder, PlaceOrder, SetSymbol
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.replay.lobster import ABOUT_ORDERS, BookRow, Level, Message, MessageType, ReplayFileError

SHARE_SCALE: Final = 6
DOLLAR_SCALE: Final = 6
"""Fees round up to these: a fee in whole shares or cents would eat a small order."""
FIRST_USER: Final = 1

ReplayCommand = PlaceOrder | CancelOrder | SetSymbol
"""Not stamped yet: request_id and time_ms are 0."""

_HALTS: Final = {-1: SymbolStatus.Halted, 0: SymbolStatus.CancelOnly, 1: SymbolStatus.Trading}


class Users(NamedTuple):
    """Who buys and who sells. An order's user follows from its recorded id."""

    buyers: range
    sellers: range

    @classmethod
    def of(cls, count: int) -> "Users":
        """`count` users, at least two, in two halves."""
        half = FIRST_USER + count // 2
        return cls(range(FIRST_USER, half), range(half, FIRST_USER + count))

    def of_order(self, side: Side, order_id: int) -> int:
        pool = self.buyers if side == Side.Buy else self.sellers
        return pool[order_id % len(pool)]


class Step(NamedTuple):
    """One message and its commands. maker_cid: of an execution, the client order id of the recorded order."""

    message: Message
    commands: list[ReplayCommand]
    maker_cid: str = ""


class Plan(NamedTuple):
    """A file as commands. late_orders: how many orders were placed out of the file's sight."""

    symbol: SymbolSettings
    users: Users
    seeds: list[PlaceOrder]
    steps: list[Step]
    late_orders: int


class _Known(NamedTuple):
    """A recorded order as our exchange knows it."""

    cid: str
    side: Side
    price: int
    remaining: int


def make_plan(messages: Sequence[Message], first_row: BookRow | None, ticker: str, users: int) -> Plan:
    """The commands of a file. first_row: the recorded book after message 1; None: start from an empty book.

    Raises ReplayFileError when the row cannot follow from message 1, and when a message cannot follow from the ones
    before it.
    """
    planner = _Planner(messages, ticker, Users.of(users))
    seeds = planner.seed(book_before(first_row, messages[0])) if first_row is not None else []
    steps = [planner.step(message) for message in messages]
    return Plan(planner.symbol, planner.users, seeds, steps, planner.late_orders)


def symbol_settings(ticker: str, status: SymbolStatus = SymbolStatus.Trading) -> SymbolSettings:
    """A NASDAQ stock as a symbol: prices in steps of $0.0001, whole shares, 0.1 % fees."""
    return SymbolSettings(f"{ticker}_USD", ticker, "USD", "0.0001", "1", "0", 1_000, 1_000, status=status)


def book_before(row: BookRow, message: Message) -> BookRow:
    """The recorded book before `message`, from the one after it. Raises ReplayFileError when that cannot be."""
    sides = {side: dict(row.side(side)) for side in Side}
    if message.type in ABOUT_ORDERS:
        levels = sides[message.side]
        change = -message.size if message.type is MessageType.New else message.size
        size = levels.pop(message.price, 0) + change
        if size < 0:
            raise ReplayFileError(f"line 1: the book row after it does not hold its {message.size} shares")
        if size:
            levels[message.price] = size
    bids = sorted(sides[Side.Buy].items(), reverse=True)
    asks = sorted(sides[Side.Sell].items())
    return BookRow([Level(*level) for level in bids], [Level(*level) for level in asks])


def unplaced_orders(messages: Sequence[Message]) -> dict[int, Message]:
    """Orders that the file refers to but never places: order id -> the first message about it.

    Its size is all that the file does to it; its type is Execution when that happens first of all or later.
    """
    placed: set[int] = set()
    found: dict[int, Message] = {}
    for message in messages:
        if message.type is MessageType.New:
            placed.add(message.order_id)
        elif message.type in ABOUT_ORDERS and message.order_id not in placed:
            first = found.get(message.order_id)
            if first is None:
                found[message.order_id] = message
            else:
                executed = MessageType.Execution in (first.type, message.type)
                kind = MessageType.Execution if executed else first.type
                found[message.order_id] = first._replace(size=first.size + message.size, type=kind)
    return found


class _Planner:
    """Walks through the file and keeps what our exchange should know of each recorded order."""

    def __init__(self, messages: Sequence[Message], ticker: str, users: Users) -> None:
        self.symbol = symbol_settings(ticker)
        self.users = users
        self.late_orders = 0
        self._ticker = ticker
        self._unplaced = unplaced_orders(messages)
        self._known: dict[int, _Known] = {}

    def seed(self, book: BookRow) -> list[PlaceOrder]:
        """Orders that make `book`, in the order of their priority.

        Each level is split into the orders that the file speaks of, those that it executes first, and one for the
        rest. An order that does not fit into what its level still holds was placed later, out of sight.
        """
        orders = sorted(self._unplaced.values(), key=lambda m: (m.type is not MessageType.Execution, m.line))
        seeds: list[PlaceOrder] = []
        for side in Side:
            for price, size in book.side(side):
                rest = size
                for order in orders:
                    if (order.side, order.price) == (side, price) and order.size <= rest:
                        rest -= order.size
                        seeds.append(self._rest(order.order_id, f"{order.order_id}-0", side, price, order.size))
                if rest:
                    seeds.append(self._place(0, f"seed-{side.name}-{price}", side, price, rest, TimeInForce.GTC))
        return seeds

    def step(self, message: Message) -> Step:
        kind = message.type
        if kind is MessageType.New:
            return Step(message, [self._new(message)])
        if kind is MessageType.Halt:
            return Step(message, [SetSymbol(0, 0, symbol_settings(self._ticker, _HALTS[message.price]))])
        if kind not in ABOUT_ORDERS:
            return Step(message, [])
        late = self._late(message)
        known = self._take(message)
        if kind is MessageType.Execution:
            return Step(message, [*late, self._execution(message)], known.cid)
        cancel = CancelOrder(0, 0, self.users.of_order(known.side, message.order_id), 0, known.cid)
        rest = [self._new(message._replace(size=known.remaining))] if known.remaining else []
        return Step(message, [*late, cancel, *rest])

    def _new(self, message: Message) -> PlaceOrder:
        known = self._known.get(message.order_id)
        if message.type is MessageType.New and known is not None:
            raise ReplayFileError(f"line {message.line}: order {message.order_id} is placed again")
        return self._rest(
            message.order_id, f"{message.order_id}-{message.line}", message.side, message.price, message.size
        )

    def _late(self, message: Message) -> list[PlaceOrder]:
        """The order that `message` is about, when neither the file nor the seeded book placed it."""
        unplaced = self._unplaced.get(message.order_id)
        if message.order_id in self._known or unplaced is None or unplaced.line != message.line:
            return []
        self.late_orders += 1
        return [self._rest(message.order_id, f"{message.order_id}-0", message.side, message.price, unplaced.size)]

    def _take(self, message: Message) -> _Known:
        """Take the message's shares from the order it is about; returns the order as it is then."""
        known = self._known.pop(message.order_id, None)
        if known is None:
            raise ReplayFileError(f"line {message.line}: order {message.order_id} is no longer there")
        if (known.side, known.price) != (message.side, message.price):
            raise ReplayFileError(f"line {message.line}: order {message.order_id} has another price or direction")
        if message.size > known.remaining:
            raise ReplayFileError(
                f"line {message.line}: size {message.size} is more than order {message.order_id} has left, "
                f"{known.remaining}"
            )
        known = known._replace(remaining=known.remaining - message.size)
        if message.type is MessageType.Delete:
            known = known._replace(remaining=0)
        if known.remaining:
            self._known[message.order_id] = known
        return known

    def _execution(self, message: Message) -> PlaceOrder:
        other = Side.Sell if message.side == Side.Buy else Side.Buy
        cid = f"take-{message.order_id}-{message.line}"
        return self._place(message.order_id, cid, other, message.price, message.size, TimeInForce.IOC)

    def _rest(self, order_id: int, cid: str, side: Side, price: int, size: int) -> PlaceOrder:
        self._known[order_id] = _Known(cid, side, price, size)
        return self._place(order_id, cid, side, price, size, TimeInForce.GTC)

    def _place(self, order_id: int, cid: str, side: Side, price: int, size: int, tif: TimeInForce) -> PlaceOrder:
        return PlaceOrder(
            request_id=0,
            time_ms=0,
            user_id=self.users.of_order(side, order_id),
            cid=cid,
            symbol=self.symbol.name,
            side=side,
            order_type=OrderType.Limit,
            time_in_force=tif,
            self_trade_prevention=SelfTradePrevention.ExpireTaker,
            price_ticks=price,
            quantity_lots=size,
        )


def funds_needed(plan: Plan) -> dict[int, int]:
    """What each user must own so that no order is refused, had none of them ever filled.

    Returns user id -> ticks × lots for a buyer, lots for a seller.
    """
    needed: dict[int, int] = dict.fromkeys((*plan.users.buyers, *plan.users.sellers), 0)
    commands: Iterator[ReplayCommand] = (command for step in plan.steps for command in step.commands)
    for command in (*plan.seeds, *commands):
        if isinstance(command, PlaceOrder):
            buys = command.side == Side.Buy
            needed[command.user_id] += command.quantity_lots * (command.price_ticks if buys else 1)
    return needed
