"""What is traded and under which limits, asked of every account shard anew: for whoever compares it with a wish.

The public list is a gateway's copy of one shard's. Here nobody has to trust a copy, or that all shards have the same:
one that was killed between two appends may lack what the others have, until it is set again.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from services.adapters.ports import Instruments
from services.gateway.answers import AssetAnswer, AssetsAnswer, CurrentPolicyAnswer, SymbolsAnswer, answer
from services.gateway.bodies import NoQuery
from services.gateway.calls import Call, admit
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_query
from services.gateway.rendering import symbol_answer

T = TypeVar("T")


class InstrumentOverviewCalls:
    """GET /api/admin/assets, /symbols and /policy."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        common: dict[str, Any] = {"method": "GET", "tag": "admin: instruments", "scope": Scope.ADMIN, "query": NoQuery}
        return [
            Call(path="/api/admin/assets", endpoint=self.assets, summary="All assets", answer=AssetsAnswer, **common),
            Call(
                path="/api/admin/symbols", endpoint=self.symbols, summary="All symbols", answer=SymbolsAnswer, **common
            ),
            Call(
                path="/api/admin/policy",
                endpoint=self.policy,
                summary="The limits",
                answer=CurrentPolicyAnswer,
                **common,
            ),
        ]

    async def assets(self, request: Request) -> Response:
        """Every asset that an account shard has. Sees all that was answered before."""
        assets, differing = _joined([shard.assets for shard in await self._instruments(request)])
        return answer(AssetsAnswer([AssetAnswer(asset.name, asset.scale) for asset in assets], differing))

    async def symbols(self, request: Request) -> Response:
        """Every symbol that an account shard has, with all of its settings. Sees all that was answered before."""
        symbols, differing = _joined([shard.symbols for shard in await self._instruments(request)])
        return answer(SymbolsAnswer([symbol_answer(symbol) for symbol in symbols], differing))

    async def policy(self, request: Request) -> Response:
        """The limits in force. Sees all that was answered before."""
        await self._admit(request)
        first, *others = await asyncio.gather(*[shard.policy() for shard in self._gateway.deps.balances])
        return answer(CurrentPolicyAnswer(*first, differing=any(other != first for other in others)))

    async def _instruments(self, request: Request) -> Sequence[Instruments]:
        await self._admit(request)
        return await asyncio.gather(*[shard.instruments() for shard in self._gateway.deps.balances])

    async def _admit(self, request: Request) -> None:
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)


def _joined(shards: Sequence[Mapping[str, T]]) -> tuple[Iterable[T], list[str]]:
    """All that any shard has, as the first that has it says; and the names of what not all have alike."""
    found: dict[str, T] = {}
    for shard in shards:
        found = {**shard, **found}
    return found.values(), [name for name, one in found.items() if any(shard.get(name) != one for shard in shards)]
