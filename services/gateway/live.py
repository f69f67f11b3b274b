"""GET /api/live, a WebSocket: what changes, told to whoever looks at it. The console is made of it.

The client says what it looks at, with one JSON object a message, as often as it likes:

    {"symbol": "BTC_USDT"}      the book and the trades of this symbol, and no longer those of the one before
    {"token": "eyJ…"}           the orders and balances of the token's owner (scope read)

and is told {"type": …, "data": …} of these types: `symbols` (as GET /api/symbols) at the start and when one changes;
`depth` (as GET /api/depth); `trades` (as GET /api/trades, newest last; they are settled, but may not be in the store
yet); `prices`, of every symbol that has traded; `account`, with `orders` and `balances`; `error`, with `code` and
`msg`. A `depth` or an `account` is whole, and replaces the former: nothing has to be put together, and whoever is slow
gets the newest one and skips those between.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.domain.errors import CoreUnavailable
from services.domain.instruments import Symbol
from services.domain.messages import Event, MatchResult, SymbolUpdated, TradeSettled
from services.domain.money import format_units
from services.domain.orders import Side
from services.domain.topics import account_shard
from services.gateway.answers import AssetAnswer, InstrumentsAnswer, TradeAnswer, answer
from services.gateway.auth import client_address
from services.gateway.errors import ApiError, Overloaded, bad_input
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.market_data import depth_answer
from services.gateway.reading import parse_json
from services.gateway.rendering import balance_answer, order_from_view, symbol_answer

PUBLISH_S: Final = 0.1
"""How often what has changed is looked up: once for all who look at it."""
MAX_LISTENERS: Final = 500
MAX_TRADES: Final = 500
"""That wait for one listener. Whoever is slower than that misses the oldest, and has them from GET /api/trades."""
DEPTH_LEVELS: Final = 50


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a client looks at from now on."""

    symbol: str | None = None
    token: str | None = None


class _Listener:
    """One client: what it looks at, and what it has yet to be sent."""

    def __init__(self) -> None:
        self.symbol = ""
        self.token = ""
        self.user_id = 0
        self.wake = asyncio.Event()
        self._newest: dict[str, bytes] = {}
        self._trades: list[TradeAnswer] = []
        self._prices: dict[str, str] = {}

    def put(self, kind: str, message: bytes) -> None:
        """Send this instead of what is still to be sent of its kind."""
        self._newest[kind] = message
        self.wake.set()

    def put_trade(self, trade: TradeAnswer) -> None:
        self._prices[trade.symbol] = trade.price
        if trade.symbol == self.symbol:
            self._trades.append(trade)
            del self._trades[:-MAX_TRADES]
        self.wake.set()

    def look_at(self, symbol: str) -> None:
        self.symbol = symbol
        self._trades.clear()
        self._newest.pop("depth", None)

    def take(self) -> list[bytes]:
        """Everything that is to be sent."""
        self.wake.clear()
        messages = list(self._newest.values())
        messages += [_message("trades", self._trades)] if self._trades else []
        messages += [_message("prices", self._prices)] if self._prices else []
        self._newest, self._trades, self._prices = {}, [], {}
        return messages


class LiveFeed:
    """All listeners of one gateway. Costs next to nothing while there are none."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._listeners: set[_Listener] = set()
        self._publisher: asyncio.Task[None] | None = None
        self._changed_books: set[str] = set()
        self._changed_users: set[int] = set()
        self._settled: list[TradeSettled] = []
        self._symbols_changed = False
        gateway.tracker.watchers.append(self)

    def route(self) -> WebSocketRoute:
        return WebSocketRoute("/api/live", self.serve)

    # What is read from the log. Only noted here: the commands' answers wait behind it.

    def on_events(self, account_shard: int, events: Sequence[Event]) -> None:
        """Note whose account, and what on the market, has changed."""
        if not self._listeners:
            return
        for event in events:
            if isinstance(event, TradeSettled):
                self._changed_users.update([change.user_id for change in event.changes])
                # A trade of users of two shards is settled by both.
                if account_shard == self._shard_of(event.trade.taker_user_id):
                    self._settled.append(event)
            elif isinstance(event, SymbolUpdated):
                self._symbols_changed = True
            else:
                self._changed_users.add(_user_of(event))

    def on_results(self, results: Sequence[MatchResult]) -> None:
        """Note which books have changed."""
        if self._listeners:
            self._changed_books.update([_SUBJECT.decode(result.body).symbol for result in results])

    def _shard_of(self, user_id: int) -> int:
        return account_shard(user_id, self._gateway.config.account_shards)

    # One connection

    async def serve(self, socket: WebSocket) -> None:
        """Until the client goes, or the gateway stops."""
        try:
            self._gateway.limiter.take_anonymous(client_address(socket))
            if len(self._listeners) >= MAX_LISTENERS:
                raise Overloaded("Too many are listening; try again.")
        except ApiError as error:
            await socket.send_denial_response(answer(error.body, error.status))
            return
        await socket.accept()
        listener = _Listener()
        self._join(listener)
        try:
            await self._serve(socket, listener)
        finally:
            self._leave(listener)

    def _join(self, listener: _Listener) -> None:
        self._listeners.add(listener)
        if self._publisher is None:
            self._publisher = asyncio.create_task(self._publish(), name="live")

    def _leave(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._publisher is not None:
            self._publisher.cancel()
            self._publisher = None
            self._changed_books, self._changed_users, self._settled = set(), set(), []

    async def _serve(self, socket: WebSocket, listener: _Listener) -> None:
        assert self._publisher is not None
        own = [asyncio.create_task(self._hear(socket, listener)), asyncio.create_task(_tell(socket, listener))]
        try:
            await asyncio.wait([*own, self._publisher], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in own:
                task.cancel()
            results = await asyncio.gather(*own, return_exceptions=True)
        defects = [result for result in results if isinstance(result, Exception) and not _is_goodbye(result)]
        if defects or self._publisher.done():
            self._gateway.event("live_failed", error=repr(defects or self._publisher))
            await socket.close(1011, "The feed has failed; connect again.")

    async def _hear(self, socket: WebSocket, listener: _Listener) -> None:
        """Do what the client wishes, until it goes."""
        await self._attempt(listener, self._greet(listener))
        while True:
            text = await socket.receive_text()
            await self._attempt(listener, self._follow(socket, listener, text))

    async def _attempt(self, listener: _Listener, work: Any) -> None:
        try:
            await work
        except ApiError as error:
            listener.put("error", _message("error", error.body))
        except CoreUnavailable:
            listener.put("error", _message("error", Overloaded("The data cannot be read at the moment.").body))

    async def _greet(self, listener: _Listener) -> None:
        listener.put("symbols", await self._symbols())
        symbols = (await self._gateway.catalogue.instruments()).symbols
        views = {name: await self._book(symbol, 1) for name, symbol in symbols.items()}
        prices = {
            name: symbols[name].format_price(view.last_price_ticks)
            for name, view in views.items()
            if view.last_price_ticks
        }
        listener.put("prices", _message("prices", prices))

    async def _follow(self, connection: HTTPConnection, listener: _Listener, text: str) -> None:
        self._gateway.limiter.take_anonymous(client_address(connection))
        try:
            wish = msgspec.convert(parse_json(text.encode("utf-8", "surrogatepass")), _Wish)
        except msgspec.ValidationError as error:
            raise bad_input(f"The message: {error}.") from error
        if wish.symbol is not None:
            symbol = await self._gateway.catalogue.symbol(wish.symbol)
            listener.look_at(symbol.name)
            listener.put("depth", await self._depth(symbol.name))
        if wish.token is not None:
            listener.token, listener.user_id = "", 0
            if wish.token:
                caller = await self._gateway.auth.bearer(wish.token)
                caller.require(Scope.READ)
                listener.token, listener.user_id = wish.token, caller.user_id
                listener.put("account", await self._account(caller.user_id))

    # For all of them

    async def _publish(self) -> None:
        while True:
            await self._gateway.clock.sleep(PUBLISH_S)
            books, self._changed_books = self._changed_books, set()
            users, self._changed_users = self._changed_users, set()
            settled, self._settled = self._settled, []
            await self._publish_trades(settled)
            for symbol in books & {listener.symbol for listener in self._listeners}:
                await self._publish_book(symbol)
            for user_id in users & {listener.user_id for listener in self._listeners}:
                await self._publish_account(user_id)
            if self._symbols_changed:
                await self._publish_symbols()

    async def _publish_trades(self, settled: Iterable[TradeSettled]) -> None:
        for event in settled:
            trade = _trade_answer(event, await self._gateway.catalogue.symbol(event.symbol))
            for listener in self._listeners:
                listener.put_trade(trade)

    async def _publish_book(self, symbol: str) -> None:
        try:
            message = await self._depth(symbol)
        except CoreUnavailable:
            self._changed_books.add(symbol)
            return
        for listener in self._listeners:
            if listener.symbol == symbol:
                listener.put("depth", message)

    async def _publish_account(self, user_id: int) -> None:
        try:
            message = await self._account(user_id)
        except CoreUnavailable:
            self._changed_users.add(user_id)
            return
        for listener in [one for one in self._listeners if one.user_id == user_id]:
            try:
                # A token ends, and so may its key.
                await self._gateway.auth.bearer(listener.token)
            except ApiError as error:
                listener.token, listener.user_id = "", 0
                listener.put("error", _message("error", error.body))
            else:
                listener.put("account", message)

    async def _publish_symbols(self) -> None:
        try:
            message = await self._symbols()
        except CoreUnavailable:
            return
        self._symbols_changed = False
        for listener in self._listeners:
            listener.put("symbols", message)

    # What there is to tell

    async def _symbols(self) -> bytes:
        instruments = await self._gateway.catalogue.instruments()
        assets = [AssetAnswer(asset.name, asset.scale) for asset in instruments.assets.values()]
        symbols = [symbol_answer(symbol) for symbol in instruments.symbols.values()]
        return _message("symbols", InstrumentsAnswer(assets, symbols))

    async def _book(self, symbol: Symbol, levels: int) -> Any:
        return await self._gateway.deps.books[symbol.settings.matcher_shard].depth(symbol.name, levels)

    async def _depth(self, name: str) -> bytes:
        symbol = await self._gateway.catalogue.symbol(name)
        return _message("depth", depth_answer(symbol, await self._book(symbol, DEPTH_LEVELS)))

    async def _account(self, user_id: int) -> bytes:
        catalogue, reads = self._gateway.catalogue, self._gateway.balances_of(user_id)
        orders = await reads.open_orders(user_id, None)
        balances = await reads.balances(user_id)
        assets = (await catalogue.instruments()).assets
        return _message(
            "account",
            {
                "user_id": user_id,
                "orders": [order_from_view(view, await catalogue.symbol(view.symbol)) for view in orders],
                "balances": [balance_answer(view, assets[view.asset]) for view in balances],
            },
        )


async def _tell(socket: WebSocket, listener: _Listener) -> None:
    while True:
        await listener.wake.wait()
        for message in listener.take():
            await socket.send_text(message.decode())


def _is_goodbye(error: Exception) -> bool:
    """Whether a client went, or sent bytes instead of text, which ends the connection too."""
    return isinstance(error, WebSocketDisconnect | KeyError)


class _Subject(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a MatchBody: enough to see which book it is about."""

    request_id: int
    time_ms: int
    symbol: str


_SUBJECT: Final = msgspec.msgpack.Decoder(_Subject)
_ENCODER: Final = msgspec.json.Encoder()


def _message(kind: str, data: Any) -> bytes:
    return _ENCODER.encode({"type": kind, "data": data})


def _user_of(event: Event) -> int:
    """Whom an event is about; 0: nobody."""
    change = getattr(event, "change", None)
    user_id: int = change.user_id if change is not None else getattr(event, "user_id", 0)
    return user_id


def _trade_answer(event: TradeSettled, symbol: Symbol) -> TradeAnswer:
    trade = event.trade
    return TradeAnswer(
        trade.trade_id,
        symbol.name,
        symbol.format_price(trade.price_ticks),
        symbol.format_quantity(trade.quantity_lots),
        format_units(event.quote_amount, symbol.quote.scale),
        trade.taker_side == Side.Sell,
        event.time_ms,
    )
