"""One order that trades, followed through every service by the trace that its sender began."""

from pathlib import Path
from typing import Any

import httpx

from services.demo.client import USERS, Api
from tests.support.otlp import Receiver, Span, tree

SENDER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID, SENDER_SPAN = SENDER[3:35], SENDER[36:52]
UNSAMPLED = "00-11112222333344445555666677778888-00f067aa0ba902b7-00"

_EVENTS = {
    "settlement: process balance.events": {"settlement: INSERT": {}},
    "order_history: process balance.events": {"order_history: INSERT": {}},
}
EXPECTED = {
    "gateway: POST /api/orders": {
        "gateway: until durable": {},
        "gateway: until accepted": {},
        "gateway: until matched": {},
        "gateway: until settled": {},
        "gateway: publish balance.operations": {
            "ubscore: process balance.operations": {
                "ubscore: publish balance.events": _EVENTS,
                "ubscore: publish orders": {
                    "matcher: process orders": {
                        "matcher: publish engine.outputs": {
                            "order_history: process engine.outputs": {"order_history: INSERT": {}}
                        },
                        "matcher: publish balance.operations": {
                            "ubscore: process balance.operations": {"ubscore: publish balance.events": _EVENTS}
                        },
                    }
                },
            }
        },
    }
}


def place(url: str, data_dir: Path, user: int, side: str, cid: str, traceparent: str) -> None:
    """Place an order at a price that every order of a test has, on behalf of a sender with this context."""
    order = {
        "symbol": "BTC_USDT",
        "side": side,
        "order_type": "Limit",
        "price": "50000",
        "quantity": "0.01",
        "cid": cid,
    }
    headers = {"Authorization": f"Bearer {Api(url, data_dir).token(user)}", "traceparent": traceparent}
    answer = httpx.post(f"{url}/api/orders", json=order, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text


def trade(url: str, data_dir: Path) -> None:
    """Somebody's order, which is not traced, is taken by another one, which is."""
    place(url, data_dir, USERS[0], "Sell", "made", UNSAMPLED)
    place(url, data_dir, USERS[1], "Buy", "taken", SENDER)


def whole_tree(receiver: Receiver) -> list[Span]:
    """The spans of the order's trace, once its tree is as expected."""
    receiver.wait_for(lambda _: _tree(receiver) == EXPECTED, within_s=60)
    return receiver.trace(TRACE_ID)


def _tree(receiver: Receiver) -> dict[str, Any]:
    """Without the gateway's reads: what it still knows is up to the moment."""
    named = [
        span._replace(name="INSERT") if span.name.startswith("INSERT ") else span
        for span in receiver.trace(TRACE_ID)
        if (span.service, span.kind) != ("gateway", "CLIENT")
    ]
    return tree(named, SENDER_SPAN)


def check(receiver: Receiver, spans: list[Span], log: str, database: str, namespace: str) -> None:
    """What the spans say of log and database, and how batches are linked to what they carry."""
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        if "messaging.system" in span.attributes:
            assert span.attributes["messaging.system"] == log
            assert span.attributes["messaging.destination.partition.id"] == "0"
            assert span.attributes["messaging.kafka.offset"] >= 0
        if span.name.startswith("INSERT"):
            assert span.kind == "CLIENT"
            assert (span.attributes["db.system.name"], span.attributes["db.namespace"]) == (database, namespace)
        if span.parent_id in by_id:
            parent = by_id[span.parent_id]
            assert span.start_ns >= parent.start_ns
            if parent.kind == "PRODUCER":
                assert span.attributes["messaging.kafka.offset"] == parent.attributes["messaging.kafka.offset"]
    assert any("settled_trades" in span.name and span.service == "settlement" for span in spans)
    sent = [span for span in receiver.spans if span.name.startswith("send ")]
    linked = {link for span in sent for link in span.links}
    assert linked == {span.span_id for span in spans if span.kind == "PRODUCER"}
    assert all(not span.parent_id and span.trace_id != TRACE_ID for span in sent)
    assert {span.trace_id for span in receiver.spans} == {TRACE_ID} | {span.trace_id for span in sent}
