"""Assets and symbols: what can be traded, in which steps, at which fee.

Settings arrive as decimal texts and become integers once, here. A symbol is refused unless tick × lot is a whole
number of the quote asset's smallest units: then every notional is exact and only fees round.
"""

import re
from enum import IntEnum
from typing import Final

import msgspec

from services.domain.errors import FormatError
from services.domain.money import MAX_AMOUNT, MICROS, format_units, parse_units

MAX_SCALE: Final = 12
MAX_FEE_MICROS: Final = 100_000
"""The highest fee: 10 %."""
STEP_SCALE: Final = 18
"""Decimals that a tick or lot size may have."""

ASSET_NAME: Final = re.compile(r"[A-Z0-9]{1,16}", re.ASCII)


class SymbolStatus(IntEnum):
    """Whether a symbol takes orders. Names are the words of the API."""

    Trading = 1
    Halted = 2
    CancelOnly = 3


class Asset(msgspec.Struct, frozen=True):
    """Something that can be owned. scale: decimals of its smallest unit (8: one unit is 0.00000001)."""

    name: str
    scale: int


class SymbolSettings(msgspec.Struct, frozen=True, array_like=True):
    """A symbol as it was asked for: decimal texts, rates in micros (millionths)."""

    name: str
    base: str
    quote: str
    tick_size: str
    """Price step, in quote per base."""
    lot_size: str
    """Quantity step, in base."""
    min_notional: str
    """Smallest price × quantity, in quote."""
    maker_fee_micros: int
    taker_fee_micros: int
    band_micros: int = 0
    """How far a price may be from the reference price, in micros of it; 0: any price."""
    matcher_shard: int = 0
    status: SymbolStatus = SymbolStatus.Trading


class Symbol(msgspec.Struct, frozen=True):
    """A symbol in integers. Build it with `build_symbol`."""

    settings: SymbolSettings
    base: Asset
    quote: Asset
    base_units_per_lot: int
    """Smallest base units in one lot."""
    quote_units_per_tick_lot: int
    """Smallest quote units in price 1 tick × quantity 1 lot: notional = ticks × lots × this, exactly."""
    min_notional_units: int
    """Smallest quote units."""
    tick_units: int
    """The tick size, as a count of 10**-18."""
    lot_units: int
    """The lot size, as a count of 10**-18."""

    @property
    def name(self) -> str:
        return self.settings.name

    def notional_units(self, price_ticks: int, quantity_lots: int) -> int:
        """Price × quantity, in the quote asset's smallest units; exact."""
        return price_ticks * quantity_lots * self.quote_units_per_tick_lot

    def parse_price(self, text: str) -> int:
        """Decimal price text to ticks. Raises FormatError when it is no multiple of the tick size."""
        return _parse_steps(text, self.tick_units, "tick size", self.settings.tick_size)

    def parse_quantity(self, text: str) -> int:
        """Decimal quantity text to lots. Raises FormatError when it is no multiple of the lot size."""
        return _parse_steps(text, self.lot_units, "lot size", self.settings.lot_size)

    def format_price(self, price_ticks: int) -> str:
        """Ticks to decimal text."""
        return format_units(price_ticks * self.tick_units, STEP_SCALE)

    def format_quantity(self, quantity_lots: int) -> str:
        """Lots to decimal text."""
        return format_units(quantity_lots * self.lot_units, STEP_SCALE)

    def format_notional(self, notional_tick_lots: int) -> str:
        """A sum of ticks × lots to decimal text, in quote."""
        return format_units(notional_tick_lots * self.quote_units_per_tick_lot, self.quote.scale)


def check_asset(asset: Asset) -> None:
    """Raises FormatError with a sentence when the asset's name or scale cannot be."""
    if ASSET_NAME.fullmatch(asset.name) is None:
        raise FormatError(f"asset name {asset.name[:40]!r} must be 1 to 16 of A-Z and 0-9")
    if not 0 <= asset.scale <= MAX_SCALE:
        raise FormatError(f"scale of {asset.name} must be 0 to {MAX_SCALE}")


def build_symbol(settings: SymbolSettings, base: Asset, quote: Asset) -> Symbol:
    """Turn a symbol's settings into integers.

    Raises FormatError with a sentence when the settings cannot be, among them when tick × lot is no whole number of
    the quote asset's smallest units.
    """
    _check_settings(settings)
    tick = _parse_step(settings.tick_size, "tick size")
    lot = _parse_step(settings.lot_size, "lot size")
    base_units_per_lot, rest = divmod(lot * 10**base.scale, 10**STEP_SCALE)
    if rest:
        raise FormatError(f"lot size {settings.lot_size} has more decimals than {base.name}'s scale {base.scale}")
    quote_units, rest = divmod(tick * lot * 10**quote.scale, 10 ** (2 * STEP_SCALE))
    if rest or quote_units == 0:
        raise FormatError(
            f"tick size {settings.tick_size} × lot size {settings.lot_size} is no whole number of {quote.name}'s "
            f"smallest units (scale {quote.scale}): raise the tick size, the lot size or the scale"
        )
    minimum = _parse(settings.min_notional, quote.scale, "minimum notional")
    return Symbol(settings, base, quote, base_units_per_lot, quote_units, minimum, tick, lot)


def _check_settings(settings: SymbolSettings) -> None:
    if settings.name != f"{settings.base}_{settings.quote}" or settings.base == settings.quote:
        raise FormatError(f"symbol {settings.name[:40]!r} must be named BASE_QUOTE, of two different assets")
    for fee in (settings.maker_fee_micros, settings.taker_fee_micros):
        if not 0 <= fee <= MAX_FEE_MICROS:
            raise FormatError(f"fees of {settings.name} must be 0 to 0.1 (10 %)")
    if not 0 <= settings.band_micros <= 100 * MICROS:
        raise FormatError(f"price band of {settings.name} must be 0 to 100 (times the reference price)")
    if not 0 <= settings.matcher_shard < 512:
        raise FormatError(f"matcher shard of {settings.name} must be 0 to 511")


def _parse(text: str, scale: int, what: str) -> int:
    try:
        return parse_units(text, scale)
    except FormatError as error:
        raise FormatError(f"{what} {text[:40]!r} {error}") from error


def _parse_step(text: str, what: str) -> int:
    # Parsed at scale 18 the text could pass MAX_AMOUNT (9.2 at that scale), so whole and fraction are taken apart.
    whole, point, fraction = text.partition(".")
    if point and not fraction:
        whole = text  # such as "1.": no plain number, and refused as a whole in the next line
    units = _parse(whole, 0, what) * 10**STEP_SCALE
    if fraction:
        units += _parse(f"0.{fraction}", STEP_SCALE, what)
    if units == 0:
        raise FormatError(f"{what} must be above 0")
    return units


def _parse_steps(text: str, step_units: int, what: str, step_text: str) -> int:
    """A decimal text as a count of `step_units` (10**-18 each)."""
    whole, point, fraction = text.partition(".")
    if point and not fraction:
        raise FormatError("must be a plain decimal number such as 0.01")
    units = parse_units(whole, 0) * 10**STEP_SCALE
    if fraction:
        units += parse_units(f"0.{fraction}", STEP_SCALE)
    steps, rest = divmod(units, step_units)
    if rest:
        raise FormatError(f"must be a multiple of the {what} {step_text}")
    if steps > MAX_AMOUNT:
        raise FormatError("is too large")
    return steps
