"""A balance change, an order and a trace, followed through the lines of all services of a real exchange."""

from collections import Counter
from pathlib import Path

import pytest

from tests.logs.story import Line, client_of, lines_of, place
from tests.support.otlp import Receiver
from tests.support.processes import LocalProcess

SENDER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = SENDER[3:35]
UNSAMPLED = "00-11112222333344445555666677778888-00f067aa0ba902b7-00"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """Of an exchange where an order rests, another takes it, and a third, of the same sender, is cancelled."""
    data_dir: Path = tmp_path_factory.mktemp("exchange") / "data"
    with Receiver("http") as receiver:
        settings = {
            "EXCHANGE_LOG__LEVEL": "debug",
            "EXCHANGE_LOG__EVENTS": "false",
            "EXCHANGE_TELEMETRY__OTLP_ENDPOINT": receiver.url,
            "EXCHANGE_TELEMETRY__OTLP_PROTOCOL": "http",
            "EXCHANGE_TELEMETRY__TRACE_SAMPLE_RATIO": "0",
        }
        with LocalProcess(data_dir, "--demo", **settings) as exchange:
            with client_of(exchange, "1001") as seller, client_of(exchange, "1002") as buyer:
                place(seller, "Sell", "made", UNSAMPLED)
                place(buyer, "Buy", "taken", SENDER)
                place(buyer, "Buy", "cancelled", SENDER)
                headers = {"traceparent": SENDER}
                buyer.post("/api/orders/cancel", json={"cid": "cancelled"}, headers=headers).raise_for_status()
            assert exchange.stop()[0] == 0
    return lines_of(data_dir / "logs")


def event_ids(lines: list[Line], service: str) -> Counter[str]:
    """Of the balance changes that a service tells of, and how often it does."""
    found: Counter[str] = Counter()
    for line in lines:
        if line["service"] == service:
            found.update(line.get("event_ids", ()))
            found.update([line["event_id"]] if line.get("event_id") else ())
    return found


def test_every_balance_event_is_told_once_by_ubscore_and_once_by_settlement(lines: list[Line]) -> None:
    said, stored = event_ids(lines, "ubscore"), event_ids(lines, "settlement")
    assert said == stored
    assert set(said.values()) == {1}
    kinds = Counter(event_id.partition("_")[0] for event_id in said)
    assert kinds["deposit"] >= 3
    assert kinds["reserve"] == 3
    # Two assets of each side of the trade; and what is left of the one that was cancelled.
    assert sum(kinds[kind] for kind in kinds if kind not in ("deposit", "reserve")) >= 5


def test_order_is_told_by_its_id_from_the_gateway_to_order_history(lines: list[Line]) -> None:
    orders = {line["cid"]: line["order_id"] for line in lines if line["event"] == "order_accepted"}
    assert set(orders) == {"made", "taken", "cancelled"}
    for cid, order_id in orders.items():
        who = {line["service"] for line in lines if line.get("order_id") == order_id}
        assert who == {"gateway", "ubscore", "matcher", "order_history"}, cid
        references = [line["reference"] for line in lines if line["event"] == "ledger_entry_stored"]
        assert f"order:{order_id}" in references


def test_command_is_told_by_its_request_id_from_the_gateway_to_the_matcher(lines: list[Line]) -> None:
    (answered,) = [line for line in lines if line["event"] == "order_answered" and line["cid"] == "taken"]
    who = {line["service"] for line in lines if line.get("request_id") == answered["request_id"]}
    assert who >= {"gateway", "ubscore", "matcher"}


def test_trace_id_is_in_the_lines_of_every_service_and_of_no_other_request(lines: list[Line]) -> None:
    traced = [line for line in lines if line.get("trace_id") == TRACE_ID]
    assert {line["service"] for line in traced} == {"gateway", "ubscore", "matcher", "settlement", "order_history"}
    (made,) = [line["order_id"] for line in lines if line["event"] == "order_accepted" and line["cid"] == "made"]
    # The update of the order that was there before is caused by the one that took it.
    statuses = [
        (line["status"], line.get("trace_id"))
        for line in lines
        if line["service"] == "order_history" and line.get("order_id") == made
    ]
    assert statuses == [("New", None), ("Filled", TRACE_ID)]
    events = event_ids(traced, "ubscore")
    assert events == event_ids(traced, "settlement")
    assert sum(events.values()) >= 7
