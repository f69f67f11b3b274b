"""A running exchange's log lines, its clients, and an order that trades there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from services.runtime.credentials import ApiCredentials, read_credentials
from tests.support.processes import LocalProcess

Line = dict[str, Any]


def lines_of(folder: Path) -> list[Line]:
    """Every line of every service."""
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def key_of(exchange: LocalProcess, user: str) -> ApiCredentials:
    """The first key of a user of the demo, or of "admin"."""
    credentials = read_credentials(exchange.data_dir)
    return credentials.admin if user == "admin" else credentials.users[user]


@contextmanager
def client_of(exchange: LocalProcess, user: str) -> Iterator[httpx.Client]:
    """A client that is logged in."""
    key = key_of(exchange, user)
    client = exchange.client({"api_key": key.api_key, "secret_key": key.secret_key})
    yield client
    client.close()


def place(client: httpx.Client, side: str, cid: str, traceparent: str = "") -> None:
    """An order at a price and of a quantity that all of them have. traceparent: its sender's."""
    order = {"symbol": "BTC_USDT", "side": side, "order_type": "Limit", "price": "50000", "quantity": "0.01"}
    headers = {"traceparent": traceparent} if traceparent else {}
    client.post("/api/orders", json=order | {"cid": cid}, headers=headers).raise_for_status()
