"""The trace of an order whose buyer and seller are accounts of different shards: both are in the taker's trace."""

from pathlib import Path

from services.demo.client import USERS
from services.domain.topics import account_shard
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.otlp import Receiver, Span
from tests.tracing.one_order import SENDER, TRACE_ID, UNSAMPLED, place, whole_tree

SHARDS = 2


def partitions(spans: list[Span], service: str, name: str) -> set[tuple[str, str]]:
    """Which instance of a service did that, on which partition."""
    return {
        (span.instance, span.attributes["messaging.destination.partition.id"])
        for span in spans
        if span.service == service and span.name == name
    }


def test_two_shards_of_one_trade_are_in_one_trace(tmp_path: Path, broker: Broker, database: Database) -> None:
    shard_of = {user: account_shard(user, SHARDS) for user in USERS}
    seller = USERS[0]
    buyer = next(user for user in USERS if shard_of[user] != shard_of[seller])
    with Receiver("grpc") as receiver:
        telemetry = {"otlpEndpoint": receiver.url, "traceSampleRatio": "0", "slowOrder": "60s"}
        with Stack(
            tmp_path,
            broker=broker,
            database=database,
            prefix="trace-shards",
            account_shards=SHARDS,
            settings={"telemetry": telemetry},
        ) as stack:
            place(stack.url, tmp_path, seller, "Sell", "made", UNSAMPLED)
            place(stack.url, tmp_path, buyer, "Buy", "taken", SENDER)
            whole_tree(receiver)
            both = {("ubscore-0", "0"), ("ubscore-1", "1")}
            # The tree is whole with one shard's part; the other's may still be on its way.
            receiver.wait_for(
                lambda _: (
                    partitions(receiver.trace(TRACE_ID), "ubscore", "publish balance.events") == both
                    and len(partitions(receiver.trace(TRACE_ID), "settlement", "process balance.events")) == SHARDS
                    and _rows(receiver.trace(TRACE_ID)) == SHARDS
                ),
                within_s=60,
            )
            spans = receiver.trace(TRACE_ID)
            reports = {("matcher-0", "0"), ("matcher-0", "1")}
            assert partitions(spans, "matcher", "publish balance.operations") == reports
            assert partitions(spans, "ubscore", "process balance.operations") == both
            # Only the taker's shard took the command; both settle.
            taker = str(shard_of[buyer])
            assert partitions(spans, "gateway", "publish balance.operations") == {("gateway-0", taker)}
            assert partitions(spans, "ubscore", "publish orders") == {(f"ubscore-{taker}", "0")}
            assert _parents_are_there(spans)
            assert set(stack.stop().values()) == {0}


def _rows(spans: list[Span]) -> int:
    """How many partitions have the trade's rows in the database."""
    by_id = {span.span_id: span for span in spans}
    writes = [span for span in spans if "settled_trades" in span.name]
    return len({by_id[span.parent_id].attributes["messaging.destination.partition.id"] for span in writes})


def _parents_are_there(spans: list[Span]) -> bool:
    known = {span.span_id for span in spans} | {SENDER[36:52]}
    return all(span.parent_id in known for span in spans)
