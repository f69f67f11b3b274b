"""Books of another process, asked for as seldom as possible: stamping prices must not cost a request an order."""

from services.adapters.internal.shared_calls import SharedCall
from services.adapters.ports import BookReads, DepthView


class SharedBookReads:
    """`ports.BookReads` where all who ask for the same depth while somebody asks for it share the next answer.

    Nobody gets a book from before he asked. For symbols that exist: each that is asked for takes a place meanwhile.
    """

    def __init__(self, reads: BookReads) -> None:
        self._reads = reads
        self._calls: dict[tuple[str, int], SharedCall[DepthView]] = {}

    async def depth(self, symbol: str, limit: int) -> DepthView:
        key = (symbol, limit)
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = SharedCall(lambda: self._reads.depth(symbol, limit))
        try:
            return await call()
        finally:
            if not call.busy and self._calls.get(key) is call:
                del self._calls[key]
