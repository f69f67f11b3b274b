"""The digests that a running exchange holds in memory, asked for over its own API."""

from pathlib import Path

import httpx
import msgspec

from services.domain.errors import ConfigError, ExchangeError
from services.gateway.answers import CoresAnswer
from services.runtime.credentials import read_credentials
from services.runtime.layout import ADDRESS_FILE

TIMEOUT_SECONDS = 60.0
"""Digesting a large state takes a while."""


async def live_digests(data_dir: Path) -> dict[str, tuple[int, bytes]]:
    """source -> (next offset, digest) of every core of the exchange that runs on `data_dir`.

    Raises ExchangeError when it does not answer.
    """
    try:
        url = (data_dir / ADDRESS_FILE).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{data_dir / ADDRESS_FILE}: cannot be read: {error.strerror}") from error
    admin = read_credentials(data_dir).admin
    try:
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as client:
            login = {"api_key": admin.api_key, "secret_key": admin.secret_key}
            token = (await client.post("/api/auth/token", json=login)).raise_for_status().json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            response = (await client.get("/api/admin/state", headers=headers)).raise_for_status()
        cores = msgspec.json.decode(response.content, type=CoresAnswer).cores
    except (httpx.HTTPError, msgspec.DecodeError, KeyError) as error:
        raise ExchangeError(f"the exchange at {url} does not tell its state: {error!r}") from error
    return {core.source: (core.next_offset, bytes.fromhex(core.digest)) for core in cores}
