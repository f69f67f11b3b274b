"""The whole story on a real process: deposits, every order type, 148 trades, questions, sums, logs, and a restart."""

from decimal import Decimal

import pytest
from rich.console import Console

from services.demo.client import USERS, Api, StoryError
from services.demo.story import Ending, tell
from tests.support.exchange_process import ExchangeProcess
from tests.support.processes import run


def told(exchange: ExchangeProcess) -> Ending:
    with (exchange.data_dir.parent / "story.txt").open("a") as file:
        return tell(exchange.url, exchange.data_dir, exchange.log_dir, Console(file=file, width=120))


def balances(exchange: ExchangeProcess) -> dict[tuple[int, str], tuple[str, str, int]]:
    """(user, asset) -> available, reserved, version; as the API says."""
    api = Api(exchange.url, exchange.data_dir)
    try:
        return {
            (user, one["asset"]): (one["available"], one["reserved"], one["version"])
            for user in USERS
            for one in api.get("/api/balances", user, user_id=user)["balances"]
        }
    finally:
        api.close()


def test_story_on_a_fresh_exchange_ends_with_exactly_these_numbers(exchange: ExchangeProcess) -> None:
    ending = told(exchange)
    assert (ending.run, ending.trades) == (1, 148)
    # The demo's own deposits were the first ones.
    assert ending.deposit_events == [f"deposit_{user}_{asset}_2" for user in USERS for asset in ("BTC", "ETH", "USDT")]
    assert {key: value[:2] for key, value in balances(exchange).items()} == {
        (1001, "BTC"): ("108.98008", "0"),
        (1001, "ETH"): ("1098.9458", "0"),
        (1001, "USDT"): ("11054097.4833524", "0"),
        (1002, "BTC"): ("112.01790008", "0"),
        (1002, "ETH"): ("1102.0937", "0"),
        (1002, "USDT"): ("10892680.3024", "0"),
        (1003, "BTC"): ("108.9998", "0"),
        (1003, "ETH"): ("1097.4458", "0"),
        (1003, "USDT"): ("11053067.10515", "0"),
    }
    assert ending.books.fees == {
        "BTC": Decimal("0.00221992"),
        "ETH": Decimal("0.0147"),
        "USDT": Decimal("155.1090976"),
    }
    assert [(line["service"], line["event"]) for line in ending.log_lines if line["service"] != "gateway"] == [
        ("ubscore", "transfer_completed"),
        ("settlement", "ledger_entry_stored"),
    ]
    assert {line["event"] for line in ending.log_lines if line["service"] == "gateway"} == {"transfer_answered"}


def test_story_goes_on_after_restarts_and_verify_passes(exchange: ExchangeProcess) -> None:
    told(exchange)
    before = balances(exchange)
    assert exchange.stop() == 0
    exchange.start()
    exchange.wait_ready()
    assert balances(exchange) == before
    assert told(exchange).run == 2
    before = balances(exchange)
    exchange.kill()
    exchange.start()
    exchange.wait_ready()
    assert balances(exchange) == before
    live = run("verify", "--data-dir", str(exchange.data_dir))
    assert live.returncode == 0, live.stdout + live.stderr
    assert exchange.stop() == 0
    stopped = run("verify", "--data-dir", str(exchange.data_dir))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def test_demo_command_plays_it_and_says_when_there_is_no_exchange(exchange: ExchangeProcess) -> None:
    arguments = ("demo", "--url", exchange.url, "--data-dir", str(exchange.data_dir))
    result = run(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "148 trades, and everything adds up" in result.stdout
    exchange.kill()
    result = run(*arguments)
    assert result.returncode == 1
    assert "does not answer" in result.stderr


def test_story_stops_when_a_stranger_has_orders(exchange: ExchangeProcess) -> None:
    api = Api(exchange.url, exchange.data_dir)
    try:
        api.post("/api/admin/users", {"user_id": 7}, 0)
        api.post("/api/transfers/in", {"transfer_id": "t", "user_id": 7, "asset": "BTC", "amount": "1"}, 0)
        api.log_in(7, api.post("/api/admin/users/7/keys", {"scopes": ["trade"]}, 0))
        order = {"symbol": "BTC_USDT", "side": "Sell", "order_type": "Limit", "price": "50000", "quantity": "1"}
        assert api.post("/api/orders", order, 7)["order_status"] == "New"
    finally:
        api.close()
    with pytest.raises(StoryError, match="somebody else has orders in BTC_USDT"):
        told(exchange)
