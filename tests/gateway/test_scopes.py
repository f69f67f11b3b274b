"""Who may call what: every operation of the API with every set of scopes that a key can have."""

from itertools import combinations
from typing import Any

import pytest

from tests.support.live_exchange import LiveExchange, User

ALL = ("read", "trade", "treasury", "admin")
SETS = [scopes for size in range(1, len(ALL) + 1) for scopes in combinations(ALL, size)]

NEEDS = {
    "GET /api/orders": "read",
    "GET /api/orders/active": "read",
    "GET /api/orders/history": "read",
    "GET /api/orders/statistics": "read",
    "GET /api/orders/{order_id}": "read",
    "GET /api/balances": "read",
    "GET /api/ledger": "read",
    "POST /api/orders": "trade",
    "POST /api/orders/cancel": "trade",
    "POST /api/orders/cancel_all": "trade",
    "POST /api/transfers/in": "treasury",
    "POST /api/transfers/out": "treasury",
    "POST /transfer_in": "treasury",
    "POST /transfer_out": "treasury",
    "POST /api/admin/users": "admin",
    "GET /api/admin/users/{user_id}": "admin",
    "POST /api/admin/users/{user_id}/suspend": "admin",
    "POST /api/admin/users/{user_id}/resume": "admin",
    "POST /api/admin/users/{user_id}/keys": "admin",
    "GET /api/admin/users/{user_id}/keys": "admin",
    "DELETE /api/admin/users/{user_id}/keys/{api_key}": "admin",
    "GET /api/admin/assets": "admin",
    "GET /api/admin/symbols": "admin",
    "GET /api/admin/policy": "admin",
    "PUT /api/admin/assets/{name}": "admin",
    "PUT /api/admin/symbols/{name}": "admin",
    "PUT /api/admin/policy": "admin",
    "GET /api/admin/state": "admin",
    "GET /api/admin/operations": "admin",
    "GET /api/admin/log-level": "admin",
    "PUT /api/admin/log-level": "admin",
}
PUBLIC = {
    "POST /api/auth/token",
    "GET /api/trades",
    "GET /api/depth",
    "GET /api/symbols",
    "GET /api/operations",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
}
UNKNOWN = {"no_such_parameter": "1"}
"""Whoever is let in is refused for this, so that nothing happens."""


@pytest.fixture(scope="module")
def operations(live: LiveExchange) -> dict[str, dict[str, Any]]:
    paths = live.http.get("/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}


@pytest.fixture(scope="module")
def callers(live: LiveExchange) -> dict[tuple[str, ...], User]:
    return {scopes: live.new_user(scopes) for scopes in SETS}


def call(live: LiveExchange, operation: str, headers: dict[str, str], **params: Any) -> tuple[int, int]:
    """Status and code of an operation that is asked for what it does not know."""
    method, path = operation.split(" ")
    url = path.format(order_id=1, user_id=1001, api_key="nobody", name="NOBODY")
    body = {} if method in ("POST", "PUT") else None
    answer = live.http.request(method, url, params=params | UNKNOWN, json=body, headers=headers)
    return answer.status_code, answer.json()["code"]


def test_table_names_every_operation_and_the_document_says_the_same(operations: dict[str, dict[str, Any]]) -> None:
    assert NEEDS.keys() | PUBLIC == operations.keys()
    for name, said in operations.items():
        assert ("Needs scope" in said["description"]) == (name in NEEDS)
        assert f"Needs scope `{NEEDS.get(name)}`." in said["description"] or name in PUBLIC


@pytest.mark.parametrize("operation", NEEDS)
def test_operation_lets_in_exactly_those_with_its_scope(
    live: LiveExchange, callers: dict[tuple[str, ...], User], operation: str
) -> None:
    before = live.state()
    assert call(live, operation, {}) == (401, -1002)
    for scopes, user in callers.items():
        expected = (400, -1101) if NEEDS[operation] in scopes else (403, -1002)
        assert call(live, operation, user.headers) == expected, scopes
    assert live.state() == before


def test_operation_about_somebody_else_needs_more_than_its_scope(
    live: LiveExchange, callers: dict[tuple[str, ...], User], operations: dict[str, dict[str, Any]]
) -> None:
    before = live.state()
    tried = 0
    for name, said in operations.items():
        if name not in NEEDS or not any(p["name"] == "user_id" and p["in"] == "query" for p in said["parameters"]):
            continue
        method, path = name.split(" ")
        body = {
            "POST /api/orders": {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Market", "quantity": "1"},
            "POST /api/orders/cancel": {"order_id": 1},
        }.get(name, {} if method == "POST" else None)
        params = {"user_id": 1001} | ({"cid": "x"} if name == "GET /api/orders" else {})
        headers = callers["read", "trade"].headers
        answer = live.http.request(method, path.format(order_id=1), params=params, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, -1002), name
        tried += 1
    assert tried >= 10
    assert live.state() == before


def test_trades_are_public_by_symbol_and_need_read_by_user(
    live: LiveExchange, callers: dict[tuple[str, ...], User]
) -> None:
    assert live.http.get("/api/trades?symbol=BTC_USDT").status_code == 200
    assert live.http.get("/api/trades?user_id=1001").status_code == 401
    for scopes, user in callers.items():
        answer = live.http.get(f"/api/trades?user_id={user.user_id}", headers=user.headers)
        assert answer.status_code == (200 if "read" in scopes else 403), scopes
