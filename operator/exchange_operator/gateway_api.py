"""The admin API of an exchange, as `reconcile` uses it: what is declared there, and declaring it.

Reading needs no token. The token for the rest is got with the admin key, and again when it is no longer good.

    GatewayError             something did not work; the message says what
    ├── GatewayUnavailable   no gateway answers, or not now: try again
    └── GatewayRefused       the exchange does not do this: trying again changes nothing by itself
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import msgspec

from services.domain.errors import ExchangeError
from services.runtime.credentials import ApiCredentials

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500


class GatewayError(ExchangeError):
    """Something about the exchange's API did not work."""


class GatewayUnavailable(GatewayError):
    """No gateway answers, or not now. Whether a change took effect is unknown; all of ours can be repeated."""


class GatewayRefused(GatewayError):
    """The exchange does not do this."""


class GatewayApi:
    """One exchange's API at `url`. key: gives its admin key, which is asked for when something is to be changed."""

    def __init__(self, url: str, key: Callable[[], ApiCredentials]) -> None:
        self.url = url
        self._key = key
        self._token = ""
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        # A proxy of the operator's environment leads out of the cluster, not to a Service.
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def instruments(self) -> Mapping[str, Any]:
        """All that is declared: {"assets": [{"name", "scale"}], "symbols": [{"name", "base", "quote", …}]}."""
        found = self._answer(self._send("GET", "/api/symbols"))
        if not isinstance(found, dict) or not {"assets", "symbols"} <= found.keys():
            raise GatewayUnavailable(f"{self.url} is not the gateway of an exchange: it does not tell its symbols")
        return found

    def put(self, path: str, body: Mapping[str, Any]) -> None:
        """Declare or change something, such as /api/admin/assets/BTC. Doing it again changes nothing."""
        for last in (False, True):
            if not self._token:
                self._token = self._log_in()
            response = self._send("PUT", path, body, {"Authorization": f"Bearer {self._token}"})
            if response.status_code != _UNAUTHORIZED or last:
                self._answer(response)
                return
            self._token = ""  # It has ended.

    def close(self) -> None:
        """Give up the connections."""
        self._http.close()

    def _log_in(self) -> str:
        answer = self._answer(self._send("POST", "/api/auth/token", msgspec.to_builtins(self._key())))
        return str(answer["access_token"])

    def _send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise GatewayUnavailable(f"{self.url} does not answer {method} {path}: {said}") from error

    def _answer(self, response: httpx.Response) -> Any:
        """The JSON of a success. Raises GatewayError for everything else."""
        try:
            body = response.json()
        except ValueError:
            body = None
        if response.is_success and body is not None:
            return body
        request, status = response.request, response.status_code
        said = body.get("msg") if isinstance(body, dict) else None
        sentence = f"{request.method} {request.url}: {said or f'it answers {status} {response.reason_phrase}'}"
        if status >= _SERVER_ERRORS or status == _TOO_MANY or body is None:
            raise GatewayUnavailable(sentence)
        raise GatewayRefused(sentence)
