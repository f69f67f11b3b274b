"""The matcher's internal read interface: what the gateway may ask, answered from memory."""

from collections.abc import Callable

from services.adapters.ports import DepthView
from services.matcher.engine import MatcherEngine


class LocalBookReads:
    """`ports.BookReads` on the engine of the same process. engine: gives the engine as it is at that moment."""

    def __init__(self, engine: Callable[[], MatcherEngine]) -> None:
        self._engine = engine

    async def depth(self, symbol: str, limit: int) -> DepthView:
        return self._engine().depth(symbol, limit)
