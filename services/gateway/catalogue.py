"""The assets and symbols, as the gateway knows them: a copy of ubscore's, fetched anew when they change."""

from collections.abc import Callable
from typing import Final

from services.adapters.ports import BalanceReads, Instruments
from services.domain.errors import CoreUnavailable
from services.domain.instruments import Asset, Symbol
from services.domain.rejects import Reject
from services.gateway.errors import rejected

_NONE: Final = Instruments({}, {})


class Catalogue:
    """Cached instruments. Only scales and steps are used of them, which never change; ubscore checks all the rest.

    So what was known before a change still does while ubscore cannot be asked, and nobody is left without an answer to
    a command that has had its effect.
    """

    def __init__(self, reads: BalanceReads) -> None:
        self._reads = reads
        self._cached: Instruments | None = None
        self._former = _NONE
        self._changes = 0

    def forget(self) -> None:
        """An instrument was declared or changed."""
        self._former = self._cached or self._former
        self._cached = None
        self._changes += 1

    async def instruments(self) -> Instruments:
        """All of them, in the order of their declaration."""
        cached = self._cached
        if cached is None:
            changes = self._changes
            cached = await self._reads.instruments()
            if changes == self._changes:
                # Else what was fetched may be from before the change.
                self._cached = Instruments(dict(cached.assets), dict(cached.symbols))
        return cached

    async def symbol(self, name: str) -> Symbol:
        """Raises ApiError -1121 when there is none of this name."""
        symbol = (self._cached or await self._known(lambda former: name in former.symbols)).symbols.get(name)
        if symbol is None:
            raise rejected(Reject.UNKNOWN_SYMBOL)
        return symbol

    async def asset(self, name: str) -> Asset:
        """Raises ApiError -4002 when there is none of this name."""
        asset = (self._cached or await self._known(lambda former: name in former.assets)).assets.get(name)
        if asset is None:
            raise rejected(Reject.UNKNOWN_ASSET)
        return asset

    async def _known(self, enough: Callable[[Instruments], bool]) -> Instruments:
        """All instruments; those from before the last change when they are `enough` and ubscore does not answer."""
        try:
            return await self.instruments()
        except CoreUnavailable:
            if not enough(self._former):
                raise
            return self._former
