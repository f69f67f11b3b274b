"""Assets and symbols through the gateway of a real exchange."""

from exchange_operator.gateway_api import GatewayApi
from exchange_operator.passes import LOOK_AGAIN_SECONDS
from exchange_operator.resource import parse
from exchange_operator.symbol_sync import service_url

from services.runtime.credentials import read_credentials
from tests.operator.manifest_examples import BTC_USDT
from tests.operator.world import World
from tests.support.exchange_process import free_port


def test_symbol_that_is_added_and_halted_takes_no_restart(running: World) -> None:
    before = running.versions()
    eth = BTC_USDT | {"name": "ETH_USDT", "base": "ETH"}
    assets = [{"name": name, "scale": 8} for name in ("BTC", "ETH", "USDT")]
    running.ask(assets=assets, symbols=[BTC_USDT, eth])
    assert running.settle().conditions["SymbolsSynced"]
    assert running.instruments()["ETH_USDT"] == "Trading"

    running.ask(assets=assets, symbols=[BTC_USDT, eth | {"status": "Halted"}])
    running.settle()
    assert running.instruments()["ETH_USDT"] == "Halted"
    running.ask(assets=assets, symbols=[eth])
    running.settle()
    assert (running.instruments()["BTC_USDT"], running.instruments()["ETH_USDT"]) == ("Halted", "Trading")
    assert {one["name"]: one["status"] for one in running.status()["symbols"]} == running.instruments()

    del before["Exchange/demo"]
    assert running.versions().items() >= before.items()


def test_symbol_that_cannot_become_as_wanted_says_so_and_keeps_no_other_from_it(running: World) -> None:
    _declare(running, "USDT_BTC", tick_size="0.1")
    other = BTC_USDT | {"name": "USDT_BTC", "base": "USDT", "quote": "BTC"}
    running.ask(symbols=[other, BTC_USDT | {"status": "CancelOnly"}])
    outcome = running.settle("degraded")

    assert outcome.again_seconds == LOOK_AGAIN_SECONDS
    status, reason, message = running.conditions()["Degraded"]
    assert (status, reason) == ("True", "Symbols")
    assert "symbol USDT_BTC has tickSize 0.1, which can never change" in message
    assert running.events("Symbols") == [message]
    assert running.instruments()["BTC_USDT"] == "CancelOnly"
    running.ask()
    assert not running.settle().conditions["Degraded"]
    assert running.events("Recovered") == ["what was wrong is well again"]


def _declare(world: World, name: str, tick_size: str) -> None:
    """Somebody else does it."""
    api = GatewayApi(world.url, lambda: read_credentials(world.data_dir).admin)
    body = {"tick_size": tick_size, "lot_size": "0.00001", "min_notional": "5"}
    api.put(f"/api/admin/symbols/{name}", body | {"maker_fee_micros": 0, "taker_fee_micros": 0})
    api.close()


def test_gateway_that_does_not_answer_is_asked_again_soon(running: World) -> None:
    there, running.url = running.url, f"http://127.0.0.1:{free_port()}"
    running.restart()
    outcome = running.once()
    assert (outcome.result, outcome.conditions["SymbolsSynced"]) == ("waiting", False)
    assert running.conditions()["SymbolsSynced"][2].startswith(f"{running.url} does not answer GET /api/symbols")
    assert "BTC_USDT" in [one["name"] for one in running.status()["symbols"]]

    running.url = there
    running.restart()
    assert running.settle().conditions["Ready"]


def test_url_of_an_exchange_is_that_of_its_service(running: World) -> None:
    url = service_url(parse(running.get("exchange/demo")))
    assert url == f"http://demo-gateway.{running.namespace}.svc:3001"
    assert running.status()["endpoints"] == {"rest": url}
    assert 3001 in [port["port"] for port in running.get("service/demo-gateway")["spec"]["ports"]]
