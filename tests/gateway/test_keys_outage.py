"""While the store is away, who was known a while ago still is; who was not, and what one has revoked, is not."""

import asyncio

import pytest

from services.domain.errors import StoreUnavailable
from services.domain.rows import ApiKeyRow
from services.gateway.keys import OUTAGE_MS, KeyRing
from tests.support.aio import run_async
from tests.support.clock import ManualClock
from tests.support.memory_store import MemoryStore

SEALING = b"s" * 32


class _Keys(MemoryStore):
    """A store that may be away, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hangs = False
        self.asked = 0

    async def get_key(self, api_key: str) -> ApiKeyRow | None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise StoreUnavailable("no node answers")
        return await super().get_key(api_key)


async def known_key() -> tuple[_Keys, ManualClock, KeyRing, str]:
    """A ring that knows one key."""
    store, clock = _Keys(), ManualClock()
    ring = KeyRing(store, clock, SEALING, cache_ms=1_000)
    row, _ = await ring.create(1001, ["read"])
    assert await ring.get(row.api_key) is not None
    return store, clock, ring, row.api_key


@run_async
async def test_key_known_before_the_store_went_away_counts_for_a_while_and_not_for_ever() -> None:
    store, clock, ring, key = await known_key()
    store.away = True
    await clock.advance(2, step_s=2)
    asked = store.asked
    assert [await ring.get(key) is not None for _ in range(100)] == [True] * 100
    assert store.asked == asked + 1, "a store that is away is not asked at every request"
    with pytest.raises(StoreUnavailable):
        await ring.get("somebody-else")
    await clock.advance(OUTAGE_MS / 1000, step_s=60)
    with pytest.raises(StoreUnavailable):
        await ring.get(key)


@run_async
async def test_key_store_that_hangs_holds_nobody_up_for_long() -> None:
    store, clock, ring, key = await known_key()
    store.hangs = True
    await clock.advance(2, step_s=2)
    async with asyncio.timeout(10):
        assert await ring.get(key) is not None


@run_async
async def test_key_store_that_comes_back_is_believed_again() -> None:
    store, clock, ring, key = await known_key()
    store.away = True
    await clock.advance(2, step_s=2)
    await ring.get(key)
    store.away = False
    other = KeyRing(store, clock, SEALING, cache_ms=1_000)
    await other.revoke(1001, key)
    await clock.advance(2, step_s=2)
    assert await ring.get(key) is None


@run_async
async def test_key_revoked_by_this_gateway_does_not_count_when_the_store_goes_away() -> None:
    store, clock, ring, key = await known_key()
    await ring.revoke(1001, key)
    store.away = True
    await clock.advance(2, step_s=2)
    with pytest.raises(StoreUnavailable):
        await ring.get(key)
