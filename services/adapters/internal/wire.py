"""What the internal reads look like between two processes: a path each, and msgpack.

    GET /next-offset /policy /instruments        of ubscore
        /user-status /balances                   ?user_id=
        /open-orders                             ?user_id= [&symbol=]
        /open-order                              ?user_id= &order_id= [&cid=]
    GET /depth                                   of the matcher: ?symbol= &limit=
    GET /state /snapshot                         of both
    GET /health/live /health/ready /metrics      of every process, for anybody

All but the last need `Authorization: Bearer` with the token that all processes derive from their shared secret. What
cannot be answered now is 503, with the reason as text: another instance of the core may know. SOURCE_HEADER says which
core answers: one of another shard would know nothing of the users that it is asked for, and say so.
"""

from typing import NamedTuple

from services.adapters.ports import Instruments
from services.domain.instruments import Asset, SymbolSettings, build_symbol

NEXT_OFFSET = "/next-offset"
POLICY = "/policy"
INSTRUMENTS = "/instruments"
USER_STATUS = "/user-status"
BALANCES = "/balances"
OPEN_ORDERS = "/open-orders"
OPEN_ORDER = "/open-order"
DEPTH = "/depth"
STATE = "/state"
SNAPSHOT = "/snapshot"

SOURCE_HEADER = "Exchange-Core"
MEDIA_TYPE = "application/msgpack"


class WiredInstruments(NamedTuple):
    """Instruments, without what follows from the settings: a symbol's integers may be larger than msgpack's."""

    assets: list[Asset]
    symbols: list[SymbolSettings]


def to_wire(instruments: Instruments) -> WiredInstruments:
    """In the order of their declaration."""
    return WiredInstruments(
        list(instruments.assets.values()), [symbol.settings for symbol in instruments.symbols.values()]
    )


def from_wire(wired: WiredInstruments) -> Instruments:
    """What `to_wire` was given."""
    assets = {asset.name: asset for asset in wired.assets}
    symbols = [build_symbol(settings, assets[settings.base], assets[settings.quote]) for settings in wired.symbols]
    return Instruments(assets, {symbol.name: symbol for symbol in symbols})
