"""Everything that a core says names a record of the frame that made it say so: on a day with every kind of command."""

from pathlib import Path
from typing import Any

from services.demo.client import Api
from services.domain.messages import decode_frame
from services.domain.topics import BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.shell.causes import cause_in, cause_out
from services.ubscore.core import UbsCore
from tests.contracts.log_contract import read_all
from tests.support.live_exchange import LiveExchange
from tests.support.market_day import MarketDay


def test_cause_out_is_the_cause_of_a_record_in_the_frame(tmp_path: Path) -> None:
    live = LiveExchange(tmp_path / "data")
    try:
        MarketDay(Api(live.url, tmp_path / "data")).play()
        inputs = {
            topic: live.run(lambda topic=topic: read_all(live.exchange.log, TopicPartition(topic, 0)))
            for topic in (BALANCE_OPERATIONS, ORDERS)
        }
    finally:
        live.stop()
    kinds: set[str] = set()
    for core, topic in ((UbsCore(0, 1), BALANCE_OPERATIONS), (MatcherEngine(0, 1), ORDERS)):
        for stored in inputs[topic]:
            frame: Any = decode_frame(topic, stored.data)
            causes = {cause_in(record) for record in frame.records}
            for output in core.apply(frame, stored.offset):
                kinds |= {type(record).__name__ for record in output.records}
                assert {cause_out(record) for record in output.records} <= causes
    assert kinds >= {
        "AssetUpdated",
        "CancelAccepted",
        "CancelRequest",
        "CommandRejected",
        "MatchReport",
        "MatchResult",
        "NewOrder",
        "OrderAccepted",
        "OrderClosed",
        "OrderRejected",
        "PolicyUpdated",
        "SymbolUpdated",
        "TradeSettled",
        "TransferCompleted",
        "TransferRejected",
        "TransferRepeated",
        "UserUpdated",
    }
