"""Who may do what: tokens, signatures, scopes, revocation."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.domain.errors import ConfigError
from services.domain.rows import ApiKeyRow
from services.gateway.deps import Issuer
from services.gateway.errors import ApiError, StaleTimestamp
from services.gateway.keys import ApiKey, KeyRing, seal, unseal
from services.gateway.signatures import SignedTimes, read_times
from services.gateway.tokens import Tokens
from tests.support.aio import run_async
from tests.support.clock import ManualClock
from tests.support.live_exchange import LiveExchange, User
from tests.support.memory_store import MemoryStore

SECRET = b"s" * 64
SEALING = b"e" * 32
KEY = ApiKey("key-1", 1001, b"secret", frozenset({"read", "trade"}), False)


def pem(key: Any) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()  # type: ignore[no-any-return]


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
ISSUERS = [Issuer("https://rsa", "RS256", pem(RSA), "exchange-api"), Issuer("https://ed", "EdDSA", pem(ED25519))]


def tokens(clock: ManualClock) -> Tokens:
    return Tokens(SECRET, 900, ISSUERS, clock)


def claims(clock: ManualClock, **more: Any) -> dict[str, Any]:
    """What a good token of the RSA issuer says, with changes; None removes a claim."""
    good = {
        "iss": "https://rsa",
        "aud": "exchange-api",
        "sub": "1001",
        "scope": "openid read",
        "exp": clock.time_ms() // 1000 + 60,
    }
    return {name: value for name, value in (good | more).items() if value is not None}


def test_own_token_says_who_and_what_until_it_expires() -> None:
    clock = ManualClock()
    token = tokens(clock).issue(KEY)
    said = tokens(clock).verify(token)
    assert (said.user_id, said.scopes, said.api_key) == (1001, {"read", "trade"}, "key-1")
    later = ManualClock(clock.time_ms() + 900_000)
    with pytest.raises(ApiError, match="expired") as caught:
        tokens(later).verify(token)
    assert caught.value.status == 401


def test_tokens_of_configured_issuers_are_taken_with_known_scopes_alone() -> None:
    clock = ManualClock()
    for name, key, algorithm in (("https://rsa", RSA, "RS256"), ("https://ed", ED25519, "EdDSA")):
        token = jwt.encode(claims(clock, iss=name, key="key-1"), key, algorithm=algorithm)
        said = tokens(clock).verify(token)
        assert (said.user_id, said.scopes, said.api_key) == (1001, {"read"}, "")


@pytest.mark.parametrize(
    ("change", "key", "algorithm"),
    [
        ({"iss": "https://elsewhere"}, RSA, "RS256"),
        ({"iss": None}, RSA, "RS256"),
        ({"iss": ["https://rsa"]}, RSA, "RS256"),
        ({"aud": "another"}, RSA, "RS256"),
        ({"aud": None}, RSA, "RS256"),
        ({"exp": 1}, RSA, "RS256"),
        ({"exp": None}, RSA, "RS256"),
        ({"exp": "soon"}, RSA, "RS256"),
        ({"nbf": 9_999_999_999}, RSA, "RS256"),
        ({"sub": None}, RSA, "RS256"),
        ({"sub": "me"}, RSA, "RS256"),
        ({"sub": "0"}, RSA, "RS256"),
        ({"sub": "-1"}, RSA, "RS256"),
        ({"sub": "9999999999999999999"}, RSA, "RS256"),
        ({"scope": ["read"]}, RSA, "RS256"),
        ({"exp": float("nan")}, RSA, "RS256"),
        ({"exp": float("inf")}, RSA, "RS256"),
        ({"exp": 10**400}, RSA, "RS256"),
        ({"nbf": float("nan")}, RSA, "RS256"),
        ({}, rsa.generate_private_key(65537, 2048), "RS256"),
        ({}, RSA, "RS512"),
        ({}, ED25519, "EdDSA"),
        ({}, SECRET, "HS256"),
        ({}, None, "none"),
        ({"iss": "exchange"}, None, "none"),
        ({"iss": "exchange"}, b"x" * 32, "HS256"),
        ({"iss": "exchange"}, SECRET, "HS512"),
        ({"iss": "exchange"}, RSA, "RS256"),
    ],
)
def test_token_that_is_not_good_is_refused(change: dict[str, Any], key: Any, algorithm: str) -> None:
    clock = ManualClock()
    claimed = claims(clock, **change)
    if change.get("iss") == ["https://rsa"] or not isinstance(claimed.get("iss", ""), str):
        token = handmade({"alg": algorithm}, claimed)
    else:
        token = jwt.encode(claimed, key, algorithm=algorithm)
    with pytest.raises(ApiError) as caught:
        tokens(clock).verify(token)
    assert caught.value.status == 401


def handmade(header: dict[str, Any], payload: Any) -> str:
    """A token that no library would make."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, payload))
    return ".".join((*parts, "AAAA"))


def test_public_key_of_an_issuer_is_no_hmac_secret() -> None:
    """The classic confusion: sign HS256 with the issuer's public PEM."""
    clock = ManualClock()
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims(clock))
    )
    signature = hmac.new(ISSUERS[0].public_key_pem.encode(), header + b"." + payload, hashlib.sha256).digest()
    token = b".".join((header, payload, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()
    with pytest.raises(ApiError):
        tokens(clock).verify(token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "é.é.é", "x" * 10_000, handmade({"alg": "HS256"}, [1])])
def test_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ApiError):
        tokens(ManualClock()).verify(token)


def test_sealed_secret_opens_with_its_key_and_name_alone() -> None:
    sealed = seal(b"secret", "key-1", SEALING)
    assert b"secret" not in sealed
    assert unseal(sealed, "key-1", SEALING) == b"secret"
    for data, name, key in ((sealed, "key-2", SEALING), (sealed, "key-1", b"t" * 32), (sealed[:-1], "key-1", SEALING)):
        with pytest.raises(ConfigError):
            unseal(data, name, key)


@pytest.mark.parametrize(("timestamp_ms", "good"), [(10_999, True), (11_000, False), (5_000, True), (4_999, False)])
def test_timestamp_must_be_within_its_window(timestamp_ms: int, good: bool) -> None:
    times = SignedTimes(timestamp_ms, 5_000)
    if good:
        times.check(10_000)
    else:
        with pytest.raises(StaleTimestamp):
            times.check(10_000)


@pytest.mark.parametrize(
    "params",
    [{}, {"timestamp": "x"}, {"timestamp": "-1"}, {"timestamp": "1", "recvWindow": "60001"},
     {"timestamp": "1", "recvWindow": ""}, {"timestamp": "1" * 16}],
)  # fmt: skip
def test_times_of_a_signed_request_that_are_wrong_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        read_times(params)
    assert caught.value.status == 400


@pytest.fixture(scope="module")
def user(live: LiveExchange) -> User:
    return live.new_user(USDT="1000")


def signed(
    user: User, method: str, path: str, query: str = "", body: bytes = b"", secret: str = "", **times: int
) -> httpx.Response:
    """Send a request signed with the user's secret, or another one."""
    timestamp = times.get("timestamp", int(time.time() * 1000))
    query = f"{query}&timestamp={timestamp}" if query else f"timestamp={timestamp}"
    secret = secret or user.key["secret_key"]
    signature = hmac.new(secret.encode(), query.encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": user.key["api_key"], "Content-Type": "application/json"}
    return user.live.http.request(method, f"{path}?{query}&signature={signature}", content=body, headers=headers)


def test_signed_request_is_taken(user: User) -> None:
    assert signed(user, "GET", "/api/balances").json()["user_id"] == user.user_id
    body = b'{"symbol":"BTC_USDT","side":"Buy","order_type":"Limit","price":"100","quantity":"1"}'
    placed = signed(user, "POST", "/api/orders", f"user_id={user.user_id}&recvWindow=10000", body)
    assert placed.json()["order_status"] == "New"
    user.post("/api/orders/cancel_all", {})


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"secret": "wrong"}, 401, -1022),
        ({"timestamp": 1_000}, 400, -1021),
        ({"timestamp": 9_999_999_999_999}, 400, -1021),
        ({"query": "recvWindow=60001"}, 400, -1100),
    ],
)
def test_signed_request_that_is_not_good_is_refused(user: User, how: dict[str, Any], status: int, code: int) -> None:
    before = user.live.state()
    response = signed(user, "POST", "/api/orders/cancel_all", body=b"{}", **how)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert user.live.state() == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda query: "&".join(reversed(query.split("&"))), -1022),
        (lambda query: f"{query}&symbol=BTC_USDT", -1022),
        (lambda query: query.replace("recvWindow=5000", "recvWindow=60000"), -1022),
        (lambda query: query.replace("user_id", "%75ser_id"), -1022),
        (lambda query: f"&{query}", -1022),
        (lambda query: f"{query}&recvWindow=5000", -1101),
        (lambda query: f"{query}&signature=00", -1101),
        (lambda query: query.replace("timestamp=", "timestamp=0"), -1100),
    ],
)
def test_signed_request_that_was_changed_on_its_way_is_refused(
    user: User, change: Callable[[str], str], code: int
) -> None:
    query = f"user_id={user.user_id}&recvWindow=5000&timestamp={int(time.time() * 1000):015d}"
    signature = hmac.new(user.key["secret_key"].encode(), query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": user.key["api_key"]}
    path, signed_too = "/api/balances", f"&signature={signature}"
    assert user.live.http.get(f"{path}?{query}{signed_too}", headers=headers).status_code == 200
    # Where the signature stands does not matter.
    assert user.live.http.get(f"{path}?signature={signature}&{query}", headers=headers).status_code == 200
    refused = user.live.http.get(f"{path}?{change(query)}{signed_too}", headers=headers)
    assert refused.json()["code"] == code, refused.text


def test_signature_covers_the_body(user: User) -> None:
    query = f"timestamp={int(time.time() * 1000)}"
    signature = hmac.new(user.key["secret_key"].encode(), f"{query}{{}}".encode(), hashlib.sha256).hexdigest()
    response = user.live.http.post(
        f"/api/orders/cancel_all?{query}&signature={signature}",
        json={"symbol": "BTC_USDT"},
        headers={"X-MBX-APIKEY": user.key["api_key"]},
    )
    assert (response.status_code, response.json()["code"]) == (401, -1022)


def test_ed25519_key_signs_and_has_no_secret(user: User) -> None:
    live = user.live
    mine = Ed25519PrivateKey.generate()
    path = f"/api/admin/users/{user.user_id}/keys"
    key = user.post(path, {"scopes": ["read"], "public_key": pem(mine)}, live.admin).json()
    assert "secret_key" not in key
    query = f"timestamp={int(time.time() * 1000)}"
    for signer, status in ((mine, 200), (Ed25519PrivateKey.generate(), 401)):
        signature = base64.b64encode(signer.sign(query.encode())).decode()
        params = {"signature": signature}
        url = f"/api/balances?{query}&{httpx.QueryParams(params)}"
        assert live.http.get(url, headers={"X-MBX-APIKEY": key["api_key"]}).status_code == status
    login = {"api_key": key["api_key"], "secret_key": pem(mine)}
    assert live.http.post("/api/auth/token", json=login).status_code == 401


def test_ed25519_key_with_a_comment_above_it_is_no_secret(user: User) -> None:
    """OpenSSL writes such files. Everybody knows a public key: nobody may sign, or get a token, with its text."""
    live, mine = user.live, Ed25519PrivateKey.generate()
    text = f"# the desk\n{pem(mine)}"
    path = f"/api/admin/users/{user.user_id}/keys"
    key = user.post(path, {"scopes": ["read"], "public_key": text}, live.admin).json()
    login = {"api_key": key["api_key"], "secret_key": text.strip()}
    assert live.http.post("/api/auth/token", json=login).status_code == 401
    query = f"timestamp={int(time.time() * 1000)}"
    forged = hmac.new(text.strip().encode(), query.encode(), hashlib.sha256).hexdigest()
    signature = base64.b64encode(mine.sign(query.encode())).decode()
    for text_of_signature, status in ((forged, 401), (signature, 200)):
        url = f"/api/balances?{query}&{httpx.QueryParams({'signature': text_of_signature})}"
        assert live.http.get(url, headers={"X-MBX-APIKEY": key["api_key"]}).status_code == status


class _SlowKeys(MemoryStore):
    """A store whose look-ups can be held up after they have read."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()
        self.answering.set()

    async def get_key(self, api_key: str) -> ApiKeyRow | None:
        row = await super().get_key(api_key)
        found = None if row is None else msgspec.structs.replace(row)
        await self.answering.wait()
        return found


@run_async
async def test_key_revoked_while_it_is_looked_up_is_not_remembered_as_good() -> None:
    store = _SlowKeys()
    ring = KeyRing(store, ManualClock(), SEALING, cache_ms=1_000)
    row, _ = await ring.create(1001, ["read"])
    store.answering.clear()
    looking, slow = asyncio.create_task(ring.get(row.api_key)), store.answering
    await asyncio.sleep(0)
    store.answering = asyncio.Event()
    store.answering.set()
    assert await ring.revoke(1001, row.api_key)
    slow.set()
    await looking
    assert await ring.get(row.api_key) is None


def test_revoked_key_ends_its_tokens_and_signatures_at_once(live: LiveExchange) -> None:
    user = live.new_user()
    path = f"/api/admin/users/{user.user_id}/keys"
    assert user.get("/api/balances")["user_id"] == user.user_id
    assert live.http.delete(f"{path}/{user.key['api_key']}", headers=live.admin).json()["revoked"] is True
    refused = live.http.get("/api/balances", headers=user.headers)
    assert (refused.status_code, refused.json()["code"]) == (401, -1002)
    assert signed(user, "GET", "/api/balances").json()["code"] == -2015
    login = {name: user.key[name] for name in ("api_key", "secret_key")}
    assert live.http.post("/api/auth/token", json=login).json()["code"] == -2015
    (listed,) = live.http.get(path, headers=live.admin).json()["keys"]
    assert listed["revoked"] is True
    assert "secret_key" not in listed


def test_revoking_a_key_of_somebody_else_is_refused(live: LiveExchange, user: User) -> None:
    path = f"/api/admin/users/{user.user_id + 1}/keys/{user.key['api_key']}"
    assert live.http.delete(path, headers=live.admin).status_code == 404
    assert user.get("/api/balances")["user_id"] == user.user_id


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-MBX-APIKEY": "nobody"},
        {"X-MBX-APIKEY": ""},
        {"X-MBX-APIKEY": "x" * 1000},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/orders"), ("GET", "/api/balances"),
                                              ("POST", "/transfer_in"), ("PUT", "/api/admin/policy")])  # fmt: skip
def test_call_without_good_credentials_is_refused(
    live: LiveExchange, method: str, path: str, headers: dict[str, str]
) -> None:
    before = live.state()
    response = live.http.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] in (-1002, -2015)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert live.state() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/transfer_in"),
        ("POST", "/api/transfers/out"),
        ("POST", "/api/admin/users"),
        ("POST", "/api/admin/users/1001/keys"),
        ("POST", "/api/admin/users/1001/suspend"),
        ("PUT", "/api/admin/assets/BTC"),
        ("PUT", "/api/admin/symbols/BTC_USDT"),
        ("PUT", "/api/admin/policy"),
    ],
)
def test_call_without_its_scope_is_refused(user: User, method: str, path: str) -> None:
    before = user.live.state()
    response = user.live.http.request(method, path, headers=user.headers, json={})
    assert (response.status_code, response.json()["code"]) == (403, -1002)
    assert user.live.state() == before


def test_key_that_may_only_read_may_not_trade(live: LiveExchange) -> None:
    reader = live.new_user(("read",))
    assert reader.get("/api/balances")["balances"] == []
    assert reader.order("Buy", "1", "1", status=403)["code"] == -1002


def test_wrong_secret_is_refused_like_an_unknown_key(user: User) -> None:
    answers = [
        user.live.http.post("/api/auth/token", json={"api_key": api_key, "secret_key": "wrong"})
        for api_key in (user.key["api_key"], "nobody")
    ]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].json() == answers[1].json()


def test_treasury_may_look_at_another_users_balances(user: User) -> None:
    response = user.live.http.get("/api/balances", params={"user_id": user.user_id}, headers=user.live.admin)
    assert response.json()["balances"] == user.get("/api/balances")["balances"]
