"""The operator's calls to an exchange, on a real one."""

import socket
import time
from collections.abc import Iterator

import pytest
from exchange_operator import gateway_api
from exchange_operator.gateway_api import GatewayApi, GatewayRefused, GatewayUnavailable

from services.runtime.credentials import ApiCredentials, read_credentials
from tests.support.exchange_process import free_port
from tests.support.processes import LocalProcess

_SYMBOL = {
    "tick_size": "0.01",
    "lot_size": "0.001",
    "min_notional": "1",
    "maker_fee_micros": 0,
    "taker_fee_micros": 0,
}
_TOKEN_SECONDS = 1


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    lifetime = {"EXCHANGE_AUTH__TOKEN_LIFETIME": f"{_TOKEN_SECONDS}s"}
    with LocalProcess(tmp_path_factory.mktemp("exchange"), **lifetime) as process:
        yield process


@pytest.fixture
def api(exchange: LocalProcess) -> Iterator[GatewayApi]:
    api = GatewayApi(exchange.url, lambda: read_credentials(exchange.data_dir).admin)
    yield api
    api.close()


def test_instruments_declared_are_told_as_they_are_without_any_key(api: GatewayApi, exchange: LocalProcess) -> None:
    api.put("/api/admin/assets/AAA", {"scale": 6})
    api.put("/api/admin/assets/BBB", {"scale": 5})
    api.put("/api/admin/symbols/AAA_BBB", _SYMBOL)

    def no_key() -> ApiCredentials:
        raise AssertionError("nobody needs a key to read")

    found = GatewayApi(exchange.url, no_key).instruments()

    assert {"name": "AAA", "scale": 6} in found["assets"]
    (symbol,) = (one for one in found["symbols"] if one["name"] == "AAA_BBB")
    assert symbol.items() >= _SYMBOL.items() | {"base": "AAA", "quote": "BBB", "status": "Trading"}.items()


def test_put_after_the_token_has_ended_gets_another(api: GatewayApi) -> None:
    api.put("/api/admin/assets/CCC", {"scale": 1})
    time.sleep(_TOKEN_SECONDS + 1.1)
    api.put("/api/admin/assets/DDD", {"scale": 1})

    assert {"CCC", "DDD"} <= {asset["name"] for asset in api.instruments()["assets"]}


def test_put_that_the_exchange_refuses_raises_its_sentence(api: GatewayApi) -> None:
    api.put("/api/admin/assets/EEE", {"scale": 1})
    with pytest.raises(GatewayRefused, match=r"PUT .*/api/admin/assets/EEE: .*scale"):
        api.put("/api/admin/assets/EEE", {"scale": 2})


def test_put_with_a_key_that_is_not_known_is_refused(exchange: LocalProcess) -> None:
    stranger = GatewayApi(exchange.url, lambda: ApiCredentials("0" * 32, "nothing"))
    with pytest.raises(GatewayRefused, match=r"POST .*/api/auth/token: "):
        stranger.put("/api/admin/assets/FFF", {"scale": 1})


def test_gateway_that_is_not_there_is_unavailable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(GatewayUnavailable, match=f"{url} does not answer GET /api/symbols: "):
        GatewayApi(url, lambda: ApiCredentials("", "")).instruments()


def test_gateway_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_api, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = GatewayApi(f"http://127.0.0.1:{silent.getsockname()[1]}", lambda: ApiCredentials("", ""))
        begin = time.monotonic()
        with pytest.raises(GatewayUnavailable, match="does not answer GET /api/symbols: timed out"):
            api.instruments()
        assert time.monotonic() - begin < 5
