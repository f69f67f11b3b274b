"""The operator reads Secrets. What it and the libraries below it say never holds what is in one."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api

from services.adapters.logs.logs import Logs

TOKEN = "serviceAccountToken0b77"
PASSWORD = "passwordInASecret51ce"
IN_A_SECRET = base64.b64encode(PASSWORD.encode()).decode()
KNOWN = {"metadata": {"name": "keys"}, "data": {"password": IN_A_SECRET}}


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path.endswith("/keys")
        body = json.dumps(KNOWN if known else {"kind": "Status", "message": f"no such secret: {self.path}"}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[CoreV1Api]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = Configuration(host=f"http://127.0.0.1:{server.server_port}")
    configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
    with ApiClient(configuration) as client:
        yield CoreV1Api(client)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("asked_for", ["at the start", "while it runs"])
def test_operator_at_debug_says_nothing_of_a_secret_it_reads(
    tmp_path: Path, api: CoreV1Api, capfd: pytest.CaptureFixture[str], asked_for: str
) -> None:
    logs = Logs(tmp_path, "debug" if asked_for == "at the start" else "info")
    lines = logs.service("operator")
    with logs.capturing_stdlib(lines):
        logs.levels.set("debug")
        assert api.read_namespaced_secret("keys", "trading").data == {"password": IN_A_SECRET}
        with pytest.raises(ApiException) as raised:
            api.read_namespaced_secret("none", "trading")
        lines.error("failed", reason=str(raised.value))
        lines.debug("keys", secret_key=PASSWORD, request={"Authorization": f"Bearer {TOKEN}"})
    logs.close()
    out, err = capfd.readouterr()
    said = out + err + "".join(path.read_text() for path in tmp_path.iterdir())
    assert "no such secret" in said
    assert "[redacted]" in said
    for secret in (TOKEN, PASSWORD, IN_A_SECRET):
        assert secret not in said
