"""Administration of what is traded and under which limits. Every account shard is told, and every one must agree."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.domain.errors import FormatError
from services.domain.instruments import Asset, SymbolSettings, SymbolStatus, build_symbol, check_asset
from services.domain.messages import CommandRejected, SetAsset, SetPolicy, SetSymbol
from services.gateway.answers import AssetAnswer, PolicyAnswer, SymbolAnswer, answer
from services.gateway.bodies import AssetBody, NoQuery, PolicyBody, SymbolBody
from services.gateway.calls import Admitted, Call, admit
from services.gateway.errors import ApiError, Code, bad_input, rejected
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_body, parse_query
from services.gateway.rendering import symbol_answer


class InstrumentAdminCalls:
    """PUT /api/admin/assets, /symbols and /policy."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        symbol = {
            "tick_size": "0.01",
            "lot_size": "0.00001",
            "min_notional": "10",
            "maker_fee_micros": 1000,
            "taker_fee_micros": 2000,
            "band_micros": 0,
            "status": "Trading",
        }
        policy = {"order_window_ms": 86_400_000, "transfer_window_ms": 2_592_000_000, "max_open_orders": 200}
        common: dict[str, Any] = {"method": "PUT", "tag": "admin: instruments", "scope": Scope.ADMIN, "query": NoQuery}
        return [
            Call(
                path="/api/admin/assets/{name}",
                endpoint=self.set_asset,
                summary="Declare an asset",
                answer=AssetAnswer,
                body=AssetBody,
                example={"scale": 8},
                refusals=(409, 503, 504),
                examples={"name": "BTC"},
                **common,
            ),
            Call(
                path="/api/admin/symbols/{name}",
                endpoint=self.set_symbol,
                summary="Declare or change a symbol",
                answer=SymbolAnswer,
                body=SymbolBody,
                example=symbol,
                refusals=(409, 503, 504),
                examples={"name": "BTC_USDT"},
                **common,
            ),
            Call(
                path="/api/admin/policy",
                endpoint=self.set_policy,
                summary="Set limits",
                answer=PolicyAnswer,
                body=PolicyBody,
                example=policy,
                refusals=(503, 504),
                **common,
            ),
        ]

    async def set_asset(self, request: Request) -> Response:
        """Declares an asset. Idempotent; its scale never changes."""
        admitted = await self._admit(request)
        body = parse_body(request, admitted.body, AssetBody)
        asset = Asset(request.path_params["name"], body.scale)
        try:
            check_asset(asset)
        except FormatError as error:
            raise _invalid(error) from error
        await self._announce(admitted, SetAsset(*self._stamp(), asset.name, asset.scale))
        return answer(AssetAnswer(asset.name, asset.scale))

    async def set_symbol(self, request: Request) -> Response:
        """Declares a symbol, or changes its fees, band, minimum notional or status. Idempotent."""
        admitted = await self._admit(request)
        body = parse_body(request, admitted.body, SymbolBody)
        settings = await self._settings(request.path_params["name"], body)
        await self._announce(admitted, SetSymbol(*self._stamp(), settings))
        return answer(symbol_answer(await self._gateway.catalogue.symbol(settings.name)))

    async def set_policy(self, request: Request) -> Response:
        """Sets how long ids are remembered and how many orders a user may have open. Idempotent."""
        admitted = await self._admit(request)
        body = parse_body(request, admitted.body, PolicyBody)
        values = (body.order_window_ms, body.transfer_window_ms, body.max_open_orders)
        await self._announce(admitted, SetPolicy(*self._stamp(), *values))
        return answer(PolicyAnswer(*values))

    async def _admit(self, request: Request) -> Admitted:
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)
        return admitted

    def _stamp(self) -> tuple[int, int]:
        return self._gateway.dispatcher.next_request_id(), self._gateway.clock.time_ms()

    async def _settings(self, name: str, body: SymbolBody) -> SymbolSettings:
        """The settings, checked as far as a sentence about them helps. Raises ApiError 400."""
        base, _, quote = name.partition("_")
        settings = SymbolSettings(
            name,
            base,
            quote,
            body.tick_size,
            body.lot_size,
            body.min_notional,
            body.maker_fee_micros,
            body.taker_fee_micros,
            body.band_micros,
            body.matcher_shard,
            SymbolStatus[body.status],
        )
        if body.matcher_shard >= self._gateway.config.matcher_shards:
            raise bad_input(f"Parameter 'matcher_shard' must be below {self._gateway.config.matcher_shards}.")
        catalogue = self._gateway.catalogue
        try:
            build_symbol(settings, await catalogue.asset(base), await catalogue.asset(quote))
        except FormatError as error:
            raise _invalid(error) from error
        return settings

    async def _announce(self, admitted: Admitted, command: Any) -> None:
        """Have every account shard do it. Raises ApiError when one refuses."""
        for event in await self._gateway.dispatcher.announce(command, admitted.caller.not_after_ms):
            if isinstance(event, CommandRejected):
                raise rejected(event.code)
        name = f"{type(command).__name__.removeprefix('Set').lower()}_set"
        self._gateway.event(name, by=admitted.caller.user_id, request_id=command.request_id)


def _invalid(error: FormatError) -> ApiError:
    text = str(error)
    return bad_input(f"{text[:1].upper()}{text[1:]}.", Code.INVALID_SETTING)
