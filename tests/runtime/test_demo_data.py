"""The demo's assets and symbols beside those of the settings."""

from services.config import AssetEntry, Settings
from services.domain.instruments import build_symbol
from services.runtime.demo_data import DEMO_DEPOSITS, with_demo


def test_demo_settings_are_assets_and_symbols_that_can_be_built() -> None:
    settings = with_demo(Settings())
    assets = {entry.name: entry.asset() for entry in settings.assets}
    assert list(assets) == ["BTC", "ETH", "USDT"]
    assert set(DEMO_DEPOSITS) == set(assets)
    symbols = [build_symbol(entry.settings(), assets[entry.base], assets[entry.quote]) for entry in settings.symbols]
    assert [symbol.name for symbol in symbols] == ["BTC_USDT", "ETH_USDT"]
    assert symbols[0].parse_price("50000.0") == 5_000_000
    assert symbols[0].parse_quantity("0.01") == 1_000


def test_demo_settings_leave_what_the_settings_name_to_them() -> None:
    mine = AssetEntry("USDT", 6)
    assert [entry for entry in with_demo(Settings(assets=[mine])).assets if entry.name == "USDT"] == [mine]
    assert with_demo(with_demo(Settings())) == with_demo(Settings())
