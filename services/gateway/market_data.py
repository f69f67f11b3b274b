"""The market, for anybody: books and instruments."""

from starlette.requests import Request
from starlette.responses import Response

from services.adapters.ports import DepthView
from services.domain.instruments import Symbol
from services.gateway.answers import AssetAnswer, DepthAnswer, InstrumentsAnswer, answer
from services.gateway.bodies import DepthQuery, NoQuery
from services.gateway.calls import Call, admit_anybody
from services.gateway.gateway import Gateway
from services.gateway.reading import parse_query
from services.gateway.rendering import symbol_answer


class MarketDataCalls:
    """GET /api/depth and /api/symbols."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/api/depth",
                self.depth,
                "market data",
                "Best levels of a book",
                DepthAnswer,
                query=DepthQuery,
                examples={"symbol": "BTC_USDT"},
            ),
            Call(
                "GET",
                "/api/symbols",
                self.symbols,
                "market data",
                "Assets and symbols",
                InstrumentsAnswer,
                query=NoQuery,
            ),
        ]

    async def depth(self, request: Request) -> Response:
        """The book's best price levels, best first."""
        query = parse_query(admit_anybody(self._gateway, request), DepthQuery)
        symbol = await self._gateway.catalogue.symbol(query.symbol)
        view = await self._gateway.deps.books[symbol.settings.matcher_shard].depth(symbol.name, query.limit)
        return answer(depth_answer(symbol, view))

    async def symbols(self, request: Request) -> Response:
        """Everything that can be owned or traded, with its steps, limits and fees."""
        parse_query(admit_anybody(self._gateway, request), NoQuery)
        instruments = await self._gateway.catalogue.instruments()
        assets = [AssetAnswer(asset.name, asset.scale) for asset in instruments.assets.values()]
        return answer(InstrumentsAnswer(assets, [symbol_answer(symbol) for symbol in instruments.symbols.values()]))


def depth_answer(symbol: Symbol, view: DepthView) -> DepthAnswer:
    """A book's levels as the API says them."""
    bids, asks = (
        [[symbol.format_price(price), symbol.format_quantity(quantity)] for price, quantity in levels]
        for levels in (view.bids, view.asks)
    )
    return DepthAnswer(symbol.name, view.sequence, symbol.format_price(view.last_price_ticks), bids, asks)
