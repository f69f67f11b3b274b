"""The trace of one order through five real processes, a real broker and a real database, received as real OTLP."""

from pathlib import Path
from typing import Literal

import pytest

from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.otlp import Receiver
from tests.tracing.one_order import TRACE_ID, UNSAMPLED, check, place, trade, whole_tree


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_distributed_order_is_one_tree_from_the_request_to_the_database(
    tmp_path: Path, broker: Broker, database: Database, protocol: Literal["grpc", "http"]
) -> None:
    prefix = f"trace-{protocol}"
    with Receiver(protocol) as receiver:
        telemetry = {
            "otlpEndpoint": receiver.url,
            "otlpProtocol": protocol,
            "traceSampleRatio": "0",
            "slowOrder": "60s",
        }
        with Stack(
            tmp_path, broker=broker, database=database, prefix=prefix, settings={"telemetry": telemetry}
        ) as stack:
            trade(stack.url, tmp_path)
            spans = whole_tree(receiver)
            check(receiver, spans, "kafka", "cassandra", prefix.replace("-", "_"))
            assert {span.instance for span in spans} == {
                f"{name}-0" for name in ("gateway", "ubscore", "matcher", "settlement", "order_history")
            }
            stack.kill("ubscore-0", "matcher-0", "settlement-0", "order-history-0")
            stack.restart("ubscore-0", "matcher-0", "settlement-0", "order-history-0")
            stack.wait_ready()
            place(stack.url, tmp_path, 1003, "Sell", "after", UNSAMPLED)
            assert set(stack.stop().values()) == {0}
        assert receiver.trace(TRACE_ID) == spans, "nothing is told twice"
