"""What a platform engineer does with an Exchange, on a real cluster with the real operator, chart and image.

One story, in the order of this file: each test goes on where the one before it ended.
"""

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.node import Cluster
from tests.cluster.on_cluster import OnCluster, is_refused
from tests.cluster.prepared import CHART, RELEASE, SYSTEM

pytestmark = pytest.mark.cluster

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "shop"
IMAGE: Final = "exchange-platform"
SECONDS: Final = 30.0
"""How soon a small change takes effect, at the latest, on a busy machine. It is a few."""
COMPONENTS: Final = ("redpanda", "scylla", "ubscore", "matcher", "settlement", "order-history", "gateway")


@pytest.fixture(scope="module")
def exchange(prepared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> OnCluster:
    """The Exchange of k8s/exchange-minimal.yaml, in a namespace of its own that admits restricted pods alone."""
    prepared.apply(_namespace(NAMESPACE))
    return OnCluster(prepared, NAMESPACE, "exchange", tmp_path_factory.mktemp("exchange"))


def _namespace(name: str) -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def _minimal(**spec: Any) -> str:
    body = yaml.safe_load((ROOT / "k8s" / "exchange-minimal.yaml").read_text())
    body["metadata"] |= {"name": "exchange", "namespace": NAMESPACE}
    body["spec"] |= spec
    for component in ("gateway", "ubscore", "matcher", "settlement", "orderHistory"):
        # The node has as many cores as this machine, and is to hold all of it twice while something rolls.
        body["spec"].setdefault(component, {}).setdefault("resources", {"requests": {"cpu": "20m"}})
    return yaml.safe_dump(body)


def test_apply_minimal_becomes_ready(exchange: OnCluster) -> None:
    begin = time.monotonic()
    exchange.cluster.apply(_minimal())
    exchange.settle(1200)
    print(f"\nkubectl apply to Ready: {time.monotonic() - begin:.0f} s")
    row = exchange.kubectl("get", "exch", exchange.name).splitlines()[1].split()
    assert row[:4] == [exchange.name, "True", "Ready", "1/1"]


def test_story_through_the_service_adds_up(exchange: OnCluster) -> None:
    exchange.open_accounts()
    assert exchange.story().trades == 148
    assert exchange.verify()


def test_symbol_added_to_the_resource_is_traded_within_seconds_without_a_restart(exchange: OnCluster) -> None:
    before = exchange.lives()
    added = {
        "name": "ETH_BTC",
        "base": "ETH",
        "quote": "BTC",
        "tickSize": "0.00001",
        "lotSize": "0.001",
        "minNotional": "0.0001",
        "makerFee": "0.001",
        "takerFee": "0.001",
    }
    begin = time.monotonic()
    exchange.patch_symbols(lambda symbols: symbols.append(added))
    api = exchange.api()
    exchange.until(lambda: "ETH_BTC" in [one["name"] for one in api.get("/api/symbols")["symbols"]], "ETH_BTC", SECONDS)
    print(f"\nA symbol added to the resource can be traded after {time.monotonic() - begin:.1f} s")
    order = {"symbol": "ETH_BTC", "order_type": "Limit", "price": "0.05", "quantity": "0.1"}
    api.post("/api/orders", {"cid": "eth-btc-1", "side": "Sell", **order}, 1001)
    taken = api.post("/api/orders", {"cid": "eth-btc-2", "side": "Buy", **order}, 1002)
    assert taken["order_status"] == "Filled"
    exchange.settle(SECONDS)
    assert exchange.lives() == before


def test_symbol_halted_in_the_resource_takes_no_orders_until_it_is_not(exchange: OnCluster) -> None:
    before, api = exchange.lives(), exchange.api()
    _set_status(exchange, "ETH_BTC", "Halted")
    order = {"symbol": "ETH_BTC", "side": "Buy", "order_type": "Limit", "price": "0.01", "quantity": "0.1"}
    tries = iter(range(10_000))

    def halted() -> bool:
        cid = f"halt-{next(tries)}"
        return is_refused(lambda: api.post("/api/orders", {"cid": cid, **order}, 1001), "SYMBOL_HALTED")

    exchange.until(halted, "orders are refused", SECONDS)
    _set_status(exchange, "ETH_BTC", "Trading")
    exchange.until(lambda: not halted(), "orders are taken again", SECONDS)
    assert exchange.lives() == before


def _set_status(exchange: OnCluster, name: str, status: str) -> None:
    def change(symbols: list[dict[str, Any]]) -> None:
        next(one for one in symbols if one["name"] == name)["status"] = status

    exchange.patch_symbols(change)


def test_more_gateways_are_there_when_asked_for_and_go_again(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"gateway": {"replicas": 2}}})
    exchange.settle()
    assert len(exchange.pods("gateway")) == 2


def test_service_deleted_by_mistake_is_back_within_seconds(exchange: OnCluster) -> None:
    for name in (f"{exchange.name}-gateway", f"{exchange.name}-ubscore"):
        begin = time.monotonic()
        exchange.kubectl("delete", "service", name)
        exchange.until(lambda name=name: _exists(exchange, "service", name), f"{name} is back", SECONDS)
        print(f"\nService {name} was back after {time.monotonic() - begin:.1f} s")
    exchange.api().get("/api/symbols")


def _exists(exchange: OnCluster, *what: str) -> bool:
    return bool(exchange.kubectl("get", *what, "--ignore-not-found", "-o", "name").strip())


def test_paused_nothing_is_changed_until_it_is_not(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"paused": True}})
    exchange.until(lambda: exchange.condition("Progressing").get("reason") == "Paused", "it says Paused", SECONDS)
    exchange.kubectl("delete", "service", f"{exchange.name}-matcher")
    exchange.patch({"spec": {"gateway": {"replicas": 3}}})
    # Long enough for what would have come.
    time.sleep(10)
    assert not _exists(exchange, "service", f"{exchange.name}-matcher")
    assert len(exchange.pods("gateway")) == 2
    exchange.patch({"spec": {"paused": False, "gateway": {"replicas": 2}}})
    exchange.until(lambda: _exists(exchange, "service", f"{exchange.name}-matcher"), "the Service is back", SECONDS)
    exchange.settle()


def test_resource_that_cannot_be_is_refused_by_kubectl_with_a_sentence(exchange: OnCluster) -> None:
    refusal = exchange.cluster.refusal(_minimal(ubscore={"shards": 2}))
    assert "spec.ubscore.shards" in refusal
    assert "cannot change" in refusal


def test_standbys_switched_on_and_an_upgrade_under_load_fails_no_order(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"ubscore": {"standby": True}, "matcher": {"standby": True}}})
    exchange.settle()
    before = exchange.totals()
    with exchange.load() as load:
        load.wait_for(50)
        seconds, order = _upgrade(exchange, "0.1.1")
        load.wait_for(50)
    print(f"\nRolling upgrade: {seconds:.0f} s, in the order {order}")
    print(f"Requests during it: {len(load.done)}; not answered at the first attempt: {len(load.failed)}")
    assert order == ["ubscore", "matcher", "settlement", "order-history", "gateway"]
    assert set(before) == set(exchange.totals())
    assert exchange.verify()


def _upgrade(exchange: OnCluster, tag: str) -> tuple[float, list[str]]:
    """Returns how long it took, and the components in the order in which their new pods came."""
    exchange.patch({"spec": {"image": {"tag": tag}}})
    seen: list[str] = []

    def done() -> bool:
        for pod in exchange.pods():
            component = pod["metadata"]["labels"].get("app.kubernetes.io/component", "").removesuffix("-standby")
            is_new = pod["spec"]["containers"][0]["image"].endswith(f":{tag}")
            if is_new and component not in (*seen, "topics", "schema", "backup"):
                seen.append(component)
        return exchange.is_settled()

    return exchange.until(done, f"everything runs {tag}", 1200), seen


@pytest.mark.parametrize("component", COMPONENTS)
def test_pod_of_each_component_deleted_under_load_loses_nothing(exchange: OnCluster, component: str) -> None:
    with exchange.load() as load:
        load.wait_for(30)
        exchange.replace_pods(component)
        exchange.settle()
        load.wait_for(30)
    print(f"\n{component}: requests {len(load.done)}, not answered at the first attempt {len(load.failed)}")


def test_verify_after_all_of_that(exchange: OnCluster) -> None:
    assert exchange.verify()


def test_operator_killed_in_the_middle_of_an_upgrade_goes_on(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"image": {"tag": "0.1.2"}}})
    exchange.until(lambda: exchange.is_condition("Progressing"), "it begins", SECONDS)
    for _ in range(3):
        exchange.cluster.kubectl("-n", SYSTEM, "delete", "pod", "--all", "--force", "--grace-period=0")
        time.sleep(3)
    exchange.settle(1200)
    images = {pod["spec"]["containers"][0]["image"] for component in COMPONENTS[2:] for pod in exchange.pods(component)}
    assert images == {f"{IMAGE}:0.1.2"}


def test_operators_own_upgrade_restarts_no_exchange(exchange: OnCluster) -> None:
    before = exchange.lives()
    options = ("-n", SYSTEM, "--reuse-values", "--set", "image.tag=0.1.2", "--wait")
    exchange.cluster.helm("upgrade", RELEASE, CHART, *options)
    exchange.settle()
    # A pass of the new operator, and one by the timer.
    time.sleep(75)
    assert exchange.lives() == before


def test_helm_test_places_an_order_and_sees_it_settled(exchange: OnCluster) -> None:
    assert "Succeeded" in exchange.cluster.helm("test", RELEASE, "-n", SYSTEM, "--timeout", "5m")


def test_image_that_crashes_stops_the_upgrade_and_the_exchange_trades_on(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"image": {"tag": "crash"}}})
    exchange.until(lambda: exchange.is_condition("Degraded"), "it says that something is wrong")
    message = exchange.condition("Degraded")["message"]
    assert message, message
    print(f"\nDegraded: {message}")
    with exchange.load() as load:
        load.wait_for(100)
    exchange.patch({"spec": {"image": {"tag": "0.1.2"}}})
    exchange.settle()
    assert exchange.is_condition("Degraded", "False")


def test_node_rebooted_everything_comes_back(exchange: OnCluster) -> None:
    with exchange.load() as load:
        load.wait_for(30)
        exchange.cluster.reboot()
        exchange.cluster.wait_ready()
        exchange.settle()
        load.wait_for(30)
    assert exchange.verify()


def test_deleted_with_retain_and_applied_again_has_every_balance(exchange: OnCluster) -> None:
    before = exchange.totals()
    spec = exchange.resource()["spec"]
    exchange.kubectl("delete", "exchange", exchange.name, "--timeout=300s")
    assert exchange.lives() == {}
    kept = exchange.kubectl("get", "pvc,secret", "-o", "name")
    assert f"secret/{exchange.name}-keys" in kept
    assert all(f"{exchange.name}-{one}-0" in kept for one in ("ubscore", "matcher", "redpanda", "scylla"))
    exchange.cluster.apply(_minimal(**spec))
    exchange.settle(1200)
    assert exchange.totals() == before
    assert exchange.verify()


def test_deleted_with_delete_leaves_nothing(exchange: OnCluster) -> None:
    exchange.patch({"spec": {"deletionPolicy": "Delete"}})
    exchange.kubectl("delete", "exchange", exchange.name, "--timeout=600s")
    selector = f"app.kubernetes.io/instance={exchange.name},app.kubernetes.io/managed-by=exchange-operator"

    def nothing() -> bool:
        return not exchange.kubectl("get", "all,pvc,cm,secret,sa,pdb,netpol", "-l", selector, "-o", "name").strip()

    exchange.until(nothing, "nothing is left", 120)


def test_broker_that_cannot_be_reached_is_said_and_never_blocks_the_deletion(prepared: Cluster, tmp_path: Path) -> None:
    prepared.apply(_namespace("lost"))
    body = yaml.safe_load(_minimal(deletionPolicy="Delete"))
    body["metadata"]["namespace"] = "lost"
    body["spec"]["redpanda"] = {"external": {"bootstrapServers": ["192.0.2.1:9092"], "replication": 1}}
    lost = OnCluster(prepared, "lost", "exchange", tmp_path)
    prepared.apply(yaml.safe_dump(body))
    lost.until(lambda: "192.0.2.1:9092" in lost.condition("BrokerReady").get("message", ""), "it says who is not there")
    begin = time.monotonic()
    lost.kubectl("delete", "exchange", lost.name, "--timeout=600s")
    print(f"\nDeleted without its broker after {time.monotonic() - begin:.0f} s")
