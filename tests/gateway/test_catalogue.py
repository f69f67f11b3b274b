"""The gateway's copy of the instruments: it may be late, but not for good."""

import asyncio

import pytest

from services.adapters.ports import Instruments
from services.domain.errors import CoreUnavailable
from services.domain.instruments import Asset
from services.gateway.catalogue import Catalogue
from services.ubscore.core import UbsCore
from services.ubscore.service import LocalBalanceReads
from tests.support.aio import run_async


class _SlowReads(LocalBalanceReads):
    """An ubscore whose answers take as long as a test wants."""

    def __init__(self, known: dict[str, Asset]) -> None:
        core = UbsCore(0, 1)
        super().__init__(lambda: core.state)
        self.known = known
        self.answering = asyncio.Event()

    async def instruments(self) -> Instruments:
        found = Instruments(dict(self.known), {})
        await self.answering.wait()
        return found


@run_async
async def test_catalogue_asset_declared_while_it_is_fetched_is_found_afterwards() -> None:
    reads = _SlowReads({"BTC": Asset("BTC", 8)})
    catalogue = Catalogue(reads)
    fetching = asyncio.create_task(catalogue.asset("BTC"))
    await asyncio.sleep(0)
    reads.known["ETH"] = Asset("ETH", 8)
    catalogue.forget()
    reads.answering.set()
    await fetching
    assert await catalogue.asset("ETH") == Asset("ETH", 8)


class _ReadsOfAnother(LocalBalanceReads):
    """An ubscore in another process, which may be away."""

    def __init__(self) -> None:
        core = UbsCore(0, 1)
        super().__init__(lambda: core.state)
        self.away = False

    async def instruments(self) -> Instruments:
        if self.away:
            raise CoreUnavailable("ubscore-0 does not answer")
        return Instruments({"BTC": Asset("BTC", 8)}, {})


@run_async
async def test_catalogue_ubscore_away_after_a_change_what_was_known_before_still_is() -> None:
    """Else whoever halts a symbol while ubscore restarts would be left without the answer to a command that worked."""
    reads = _ReadsOfAnother()
    catalogue = Catalogue(reads)
    await catalogue.asset("BTC")
    reads.away = True
    catalogue.forget()
    catalogue.forget()
    assert await catalogue.asset("BTC") == Asset("BTC", 8)
    for ask in (catalogue.asset("ETH"), catalogue.instruments()):
        with pytest.raises(CoreUnavailable):
            await ask
