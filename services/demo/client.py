"""The REST API, as a program of a trader or an administrator uses it. Decimals arrive as texts and stay exact."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from services.domain.errors import ConfigError, ExchangeError

USERS: Final = (1001, 1002, 1003)
VISIBLE_WITHIN_SECONDS: Final = 60.0
"""How long the store may be behind. It is a fraction of a second; a busy machine may take longer."""
_POLL_SECONDS: Final = 0.02

T = TypeVar("T")


class StoryError(ExchangeError):
    """Something is not as it must be."""


class Silence(StoryError):
    """There was no answer of the exchange."""


class Refusal(Exception):
    """An answer that is not a success. body: its code, msg and the rest."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('code')}: {body.get('msg')}")
        self.status = status
        self.body = body
        self.code: int = body.get("code", 0)
        self.reject: str = body.get("reject", "")


class Client:
    """One exchange, called by those who have logged in. hint: what to do when it does not answer."""

    def __init__(self, url: str, hint: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30.0)
        self._hint = hint
        self._tokens: dict[int, str] = {}

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, who: int | None = None, **query: Any) -> Any:
        """The answer's JSON. who: None for calls that need no credentials. Raises Refusal."""
        return self.call("GET", path, who, query)

    def post(self, path: str, body: dict[str, Any], who: int | None = None, **query: Any) -> Any:
        """As `get`."""
        return self.call("POST", path, who, query, body)

    def call(self, method: str, path: str, who: int | None, query: dict[str, Any], body: Any = None) -> Any:
        headers = {} if who is None else {"Authorization": f"Bearer {self.token(who)}"}
        try:
            response = self._http.request(method, path, params=query, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Silence(f"{self.url} does not answer ({error}): {self._hint}") from error
        try:
            answer = response.json()
        except ValueError as error:
            raise Silence(f"{self.url} answers {response.status_code} with what is no JSON: {self._hint}") from error
        if response.is_success:
            return answer
        raise Refusal(response.status_code, answer)

    def pages(self, path: str, member: str, cursor: str, who: int, **query: Any) -> Iterator[Any]:
        """All rows of a paged answer, newest first. cursor: the query's parameter that takes `next`."""
        query["limit"] = 1000
        while True:
            answer = self.get(path, who, **query)
            yield from answer[member]
            if "next" not in answer:
                return
            query[cursor] = answer["next"]

    def log_in(self, who: int, key: dict[str, str]) -> str:
        """Call as `who` with this key from now on. Returns the token."""
        names = ("api_key", "secret_key")
        answer = self.post("/api/auth/token", {name: key[name] for name in names})
        token: str = answer["access_token"]
        self._tokens[who] = token
        return token

    def token(self, who: int) -> str:
        """The bearer token of somebody who has logged in."""
        return self._tokens[who]


class Api(Client):
    """One exchange, with the keys that its data folder holds. `who` is a user id, or 0 for the administrator."""

    def __init__(self, url: str, data_dir: Path) -> None:
        super().__init__(url, "is the exchange running? `make run`")
        self._keys = _read_keys(data_dir)

    def token(self, who: int) -> str:
        """The bearer token of `who`, who logs in when that was not done."""
        known = self._tokens.get(who)
        return known or self.log_in(who, self._keys["admin"] if who == 0 else self._keys["users"][str(who)])


def wait_for(what: str, look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Look until it is good: the store follows the exchange. Raises StoryError when it takes too long."""
    deadline = time.monotonic() + VISIBLE_WITHIN_SECONDS
    while not good(found := look()):
        if time.monotonic() > deadline:
            raise StoryError(f"{what}: not in the store after {VISIBLE_WITHIN_SECONDS:.0f} seconds")
        time.sleep(_POLL_SECONDS)
    return found


def _read_keys(data_dir: Path) -> Any:
    path = data_dir / "credentials.json"
    try:
        keys = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); --data-dir must be the exchange's own") from error
    missing = [str(user) for user in USERS if str(user) not in keys["users"]]
    if missing:
        raise ConfigError(f"{path} has no keys of users {', '.join(missing)}: start the exchange with --demo")
    return keys
