"""Whatever clients, brokers and files hold: no line of any log at any level, and nothing printed, holds a secret."""

import base64
import hashlib
import hmac
import json
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from services.runtime.credentials import KEY_FILE, load_secrets, read_credentials
from tests.logs.story import client_of, key_of, lines_of, place
from tests.support.exchange_process import free_port
from tests.support.processes import PROGRAM, LocalProcess, environment

BROKER_PASSWORD = "brokerPassword7d1c09"
DATABASE_PASSWORD = "databasePassword44aa"
WRONG = {
    "bearer": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.d3JvbmdTaWduYXR1cmU",
    "basic": base64.b64encode(b"admin:basicPassword9f").decode(),
    "secret": "wrongSecret0c5b1e77",
    "key": "secretSentAsKey83c1de04",
    "signature": "5ec7e70000000000000000000000000000000000000000000000000000c0ffee",
    "query": "tokenInTheQuery6d02f1",
    "message": "tokenInAMessage5511ab",
    "body": "secretInABrokenBody91",
    "field": "secretInAnUnknownField3",
    "head": "tokenInAMalformedHead70",
}


class Played(NamedTuple):
    """What an exchange has said after everything was tried, and what it must not have said.

    said: all files of logs, and stderr. On stdout are the keys for whoever has started a demo at a terminal.
    """

    said: str
    lines: list[dict[str, Any]]
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    data_dir = tmp_path_factory.mktemp("exchange") / "data"
    config = data_dir.with_name("exchange.yaml")
    config.write_text(
        f"log: {{level: debug, events: false}}\n"
        f"broker: {{sasl: {{mechanism: PLAIN, username: exchange, password: {BROKER_PASSWORD}}}}}\n"
        f"database: {{username: exchange, password: {DATABASE_PASSWORD}}}\n"
    )
    with LocalProcess(data_dir, "--demo", "--config", config) as exchange:
        secrets = _own_secrets(exchange) | {f"wrong {name}": secret for name, secret in WRONG.items()}
        secrets |= _use_keys(exchange)
        _try_wrong_credentials(exchange)
        _send_what_is_malformed(exchange)
        _talk_over_websockets(exchange, secrets["token of 1001"])
        status, _, err = exchange.stop()
        assert status == 0, err
    lines = lines_of(data_dir / "logs")
    files = "".join(path.read_text() for path in (data_dir / "logs").iterdir())
    return Played(files + err, lines, secrets)


def _own_secrets(exchange: LocalProcess) -> dict[str, str]:
    derived, key = load_secrets(exchange.data_dir), (exchange.data_dir / KEY_FILE).read_bytes()
    found = {"broker password": BROKER_PASSWORD, "database password": DATABASE_PASSWORD}
    found["internal token"] = derived.internal_token
    for name, raw in (("key", key), ("encryption key", derived.encryption_key), ("jwt secret", derived.jwt_secret)):
        found |= {f"{name}, hex": raw.hex(), f"{name}, base64": base64.b64encode(raw).decode()}
    return found | {f"secret of {user}": key_of(exchange, user).secret_key for user in ("admin", "1001", "1002")}


def _use_keys(exchange: LocalProcess) -> dict[str, str]:
    """Everything goes well: tokens, new keys, signatures, trades."""
    used: dict[str, str] = {}
    with client_of(exchange, "admin") as admin, client_of(exchange, "1001") as seller:
        used["token of admin"] = admin.headers["Authorization"].removeprefix("Bearer ")
        used["token of 1001"] = seller.headers["Authorization"].removeprefix("Bearer ")
        place(seller, "Sell", "canary")
        made = admin.post("/api/admin/users/1001/keys", json={"scopes": ["read", "trade"]}).raise_for_status().json()
        used["secret of a new key"] = made["secret_key"]
        query = f"timestamp={int(time.time() * 1000)}"
        used["signature"] = hmac.new(made["secret_key"].encode(), query.encode(), hashlib.sha256).hexdigest()
        url, headers = f"{exchange.url}/api/balances?{query}&signature=", {"X-MBX-APIKEY": made["api_key"]}
        assert httpx.get(url + used["signature"], headers=headers).status_code == 200
        assert httpx.get(url + WRONG["signature"], headers=headers).status_code == 401
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        used["private key"] = pem.splitlines()[1]
        body = {"scopes": ["read"], "public_key": public}
        signing = admin.post("/api/admin/users/1001/keys", json=body).raise_for_status().json()
        used["Ed25519 signature"] = base64.b64encode(private.sign(query.encode())).decode()
        params = {"timestamp": query.partition("=")[2], "signature": used["Ed25519 signature"]}
        good = httpx.get(f"{exchange.url}/api/balances", params=params, headers={"X-MBX-APIKEY": signing["api_key"]})
        assert good.status_code == 200, good.text
        # Somebody sends the private key where the public one belongs.
        assert admin.post("/api/admin/users/1001/keys", json=body | {"public_key": pem}).status_code == 400
    return used


def _try_wrong_credentials(exchange: LocalProcess) -> None:
    key = key_of(exchange, "1001")
    login = f"{exchange.url}/api/auth/token"
    for api_key, secret in ((key.api_key, WRONG["secret"]), (WRONG["key"], key.api_key), ("nobody", WRONG["secret"])):
        assert httpx.post(login, json={"api_key": api_key, "secret_key": secret}).status_code == 401
    # Both ways round.
    assert httpx.post(login, json={"api_key": key.secret_key, "secret_key": key.api_key}).status_code in (400, 401)
    for headers in (
        {"Authorization": f"Bearer {WRONG['bearer']}"},
        {"Authorization": f"Basic {WRONG['basic']}"},
        {"Authorization": WRONG["bearer"]},
        {"X-MBX-APIKEY": key.secret_key},
    ):
        assert httpx.get(f"{exchange.url}/api/balances", headers=headers).status_code == 401
    for query in (f"token={WRONG['query']}", f"access_token={WRONG['query']}"):
        assert httpx.get(f"{exchange.url}/api/balances?{query}").status_code in (400, 401)


def _send_what_is_malformed(exchange: LocalProcess) -> None:
    login = f"{exchange.url}/api/auth/token"
    cut_short, as_json = f'{{"secret_key": "{WRONG["body"]}", "api', {"Content-Type": "application/json"}
    assert httpx.post(login, content=cut_short, headers=as_json).status_code == 400
    assert httpx.post(login, content=cut_short).status_code == 415
    assert httpx.post(login, json={"api_key": "a", "secret": WRONG["field"]}).status_code == 400
    host, port = exchange.url.removeprefix("http://").split(":")
    for head in (
        f"GET /api/balances HTTP/1.1\r\nAuthorization Bearer {WRONG['head']}\r\n\r\n",
        f"{WRONG['head']} /api/balances\r\n\r\n",
        f"GET /api/balances HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {WRONG['head']}\x00\r\n\r\n",
        f"GET /api/balances?{WRONG['head']}={'x' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection, suppress(OSError):
            connection.sendall(head.encode())
            connection.recv(4096)


def _talk_over_websockets(exchange: LocalProcess, token: str) -> None:
    url = exchange.url.replace("http", "ws", 1) + "/api/live"
    with connect(f"{url}?token={WRONG['query']}", additional_headers={"Authorization": f"Bearer {token}"}) as feed:
        for message in (
            json.dumps({"token": token}),
            json.dumps({"token": WRONG["message"]}),
            json.dumps({"secret_key": WRONG["message"]}),
            f'{{"token": "{WRONG["message"]}',
        ):
            feed.send(message)
            with suppress(TimeoutError, WebSocketException):
                while "error" not in json.loads(feed.recv(timeout=1)).get("type", ""):
                    pass
    with suppress(WebSocketException), connect(f"{url}/nowhere?token={WRONG['query']}"):
        pass


def test_secrets_were_used_and_debug_lines_were_written(played: Played) -> None:
    events = {line["event"] for line in played.lines}
    assert {"login_refused", "key_created", "order_accepted", "ledger_entry_stored"} <= events
    assert "canary" in played.said
    assert any(line["level"] == "debug" for line in played.lines)
    assert all(len(secret) >= 16 for secret in played.secrets.values())
    assert len(set(played.secrets.values())) == len(played.secrets) >= 25


def test_secrets_are_in_no_line_and_nothing_printed(played: Played) -> None:
    found = {name for name, secret in played.secrets.items() if secret in played.said}
    assert not found


def test_secrets_are_not_printed_where_what_is_printed_is_collected(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    command = [*PROGRAM, "local", "--demo", "--log-to", "stdout", "--port", str(port), "--data-dir", str(data_dir)]
    settings = environment(EXCHANGE_LOG__LEVEL="debug")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=settings) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health/ready")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    credentials = read_credentials(data_dir)
    assert credentials.admin.api_key in err.decode()
    assert str(data_dir / "credentials.json") in err.decode()
    for key in (credentials.admin, *credentials.users.values()):
        assert key.secret_key.encode() not in out + err


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_halves_of_secrets_are_in_no_line(played: Played) -> None:
    """What a library shortens in the middle shows its beginning and its end."""
    halves = {(name, half) for name, secret in played.secrets.items() for half in (secret[:14], secret[-14:])}
    # A token's first part is the same for all: it names the algorithm.
    shown = {name for name, half in halves if half in played.said and not half.startswith("eyJ")}
    assert not shown
