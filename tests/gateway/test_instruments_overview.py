"""What there is, as an administrator's program compares it with what there should be."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from services.adapters.sqlite.store import SqliteStore
from services.config import Settings
from services.domain.messages import SetAsset, SetPolicy, SetSymbol, decode_frame, encode_frame
from services.domain.topics import BALANCE_OPERATIONS
from services.gateway.app import GatewayConfig, GatewayDeps, create_app
from services.gateway.keys import make_key
from services.runtime.demo_data import with_demo
from services.ubscore.core import UbsCore
from services.ubscore.service import LocalBalanceReads
from tests.support.clock import ManualClock
from tests.support.live_exchange import LiveExchange
from tests.support.memory_log import MemoryLog

CONFIG = GatewayConfig(jwt_secret=b"j" * 32, encryption_key=b"e" * 32, account_shards=2)
SYMBOL = {
    "tick_size": "0.010",
    "lot_size": "0.001",
    "min_notional": "5",
    "maker_fee_micros": 1,
    "taker_fee_micros": 2,
    "band_micros": 3,
    "matcher_shard": 0,
    "status": "CancelOnly",
}


def test_what_was_set_is_shown_as_it_was_set_at_once(live: LiveExchange) -> None:
    def put(path: str, body: Any) -> None:
        assert live.http.put(f"/api/admin/{path}", json=body, headers=live.admin).status_code == 200

    def get(path: str) -> Any:
        answer = live.http.get(f"/api/admin/{path}", headers=live.admin)
        assert answer.status_code == 200, answer.text
        return answer.json()

    put("assets/OVER", {"scale": 5})
    put("symbols/OVER_USDT", SYMBOL)
    assets, symbols = get("assets"), get("symbols")
    assert {"name": "OVER", "scale": 5} in assets["assets"]
    assert {"name": "OVER_USDT", "base": "OVER", "quote": "USDT"} | SYMBOL in symbols["symbols"]
    assert assets["differing"] == symbols["differing"] == []
    public = live.http.get("/api/symbols").json()
    assert (public["assets"], public["symbols"]) == (assets["assets"], symbols["symbols"])
    for status in ("Halted", "Trading"):
        put("symbols/OVER_USDT", SYMBOL | {"status": status})
        assert [one["status"] for one in get("symbols")["symbols"] if one["name"] == "OVER_USDT"] == [status]
    before = get("policy")
    assert before.pop("differing") is False
    put("policy", before | {"max_open_orders": 9_999})
    assert get("policy") == before | {"max_open_orders": 9_999, "differing": False}
    put("policy", before)


def shard(number: int, *commands: Any) -> LocalBalanceReads:
    """An account shard that was told this."""
    core = UbsCore(number, 2)
    frame = encode_frame("gateway-0", 0, list(commands))
    core.apply(decode_frame(BALANCE_OPERATIONS, frame), 0)
    return LocalBalanceReads(lambda: core.state)


def test_what_not_all_shards_have_alike_is_named(tmp_path: Path) -> None:
    demo = with_demo(Settings())
    assets = [SetAsset(1, 1, entry.name, entry.scale) for entry in demo.assets]
    btc, eth = (SetSymbol(2, 2, entry.settings()) for entry in demo.symbols)
    dearer = SetSymbol(3, 3, replace(eth.settings, taker_fee_micros=2_000))
    first = shard(0, *assets[1:], eth, SetPolicy(4, 4, 60_000, 60_000, 7))
    second = shard(1, *assets, btc, eth)
    third = shard(1, *assets, btc, dearer)

    async def ask(*shards: LocalBalanceReads) -> list[Any]:
        store = SqliteStore(tmp_path / "store.sqlite3")
        row, secret = make_key(1, ["admin"], CONFIG.encryption_key, 0)
        await store.put_key(row)
        deps = GatewayDeps(MemoryLog(), ManualClock(), store, store, shards, [], CONFIG, request_prefix=1)
        transport = httpx.ASGITransport(create_app(deps))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            key = {"api_key": row.api_key, "secret_key": secret}
            token = (await http.post("/api/auth/token", json=key)).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            paths = ("assets", "symbols", "policy")
            answers = [(await http.get(f"/api/admin/{path}", headers=headers)).json() for path in paths]
        await store.close()
        return answers

    assets_said, symbols_said, policy_said = asyncio.run(ask(first, second))
    assert sorted(asset["name"] for asset in assets_said["assets"]) == ["BTC", "ETH", "USDT"]
    assert sorted(symbol["name"] for symbol in symbols_said["symbols"]) == ["BTC_USDT", "ETH_USDT"]
    assert (assets_said["differing"], symbols_said["differing"]) == (["BTC"], ["BTC_USDT"])
    own = {"order_window_ms": 60_000, "transfer_window_ms": 60_000, "max_open_orders": 7}
    assert policy_said == own | {"differing": True}
    assets_said, symbols_said, policy_said = asyncio.run(ask(second, third))
    assert (assets_said["differing"], symbols_said["differing"]) == ([], ["ETH_USDT"])
    fees = {symbol["name"]: symbol["taker_fee_micros"] for symbol in symbols_said["symbols"]}
    assert fees == {"BTC_USDT": 1_000, "ETH_USDT": 1_000}
    assert policy_said["differing"] is False
