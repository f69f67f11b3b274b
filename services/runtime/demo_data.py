"""What `exchange local --demo` has that an empty exchange has not."""

from typing import Final

from msgspec.structs import replace

from services.config import AssetEntry, Settings, SymbolEntry

DEMO_USERS: Final = (1001, 1002, 1003)

DEMO_DEPOSITS: Final = {"BTC": "100", "ETH": "1000", "USDT": "10000000"}
"""What each demo user gets, once."""

_ASSETS: Final = (AssetEntry("BTC", 8), AssetEntry("ETH", 8), AssetEntry("USDT", 8))


def _symbol(base: str, lot_size: str) -> SymbolEntry:
    return SymbolEntry(
        name=f"{base}_USDT",
        base=base,
        quote="USDT",
        tick_size="0.01",
        lot_size=lot_size,
        min_notional="5",
        maker_fee_micros=1_000,
        taker_fee_micros=1_000,
        # Wide, so that a newcomer's first orders are not refused; it also bounds what a market order may pay.
        band_micros=500_000,
    )


_SYMBOLS: Final = (_symbol("BTC", "0.00001"), _symbol("ETH", "0.0001"))


def with_demo(settings: Settings) -> Settings:
    """The settings, with the demo's assets and symbols added; those that the settings name themselves stay theirs."""
    assets = {entry.name for entry in settings.assets}
    symbols = {entry.name for entry in settings.symbols}
    return replace(
        settings,
        assets=[*settings.assets, *(entry for entry in _ASSETS if entry.name not in assets)],
        symbols=[*settings.symbols, *(entry for entry in _SYMBOLS if entry.name not in symbols)],
    )
