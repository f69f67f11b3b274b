"""What a resource says of itself, on a simulated cluster."""

from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest
from exchange_operator.actions import Observed, Plan
from exchange_operator.names import Key
from exchange_operator.plan import plan
from exchange_operator.resource import Exchange
from exchange_operator.resource_status import ExchangeStatus
from exchange_operator.status import Symbols, build_status, conditions, failed_status

from tests.operator.manifest_examples import BTC_USDT, exchange_of, merged
from tests.operator.simulated_cluster import (
    STEP,
    SimulatedCluster,
    bad_image,
    converge,
    one_pass,
    wanted_by,
    with_spec,
)

SPEC: Final[dict[str, Any]] = {
    "image": {"repository": "exchange", "tag": "1"},
    "assets": [{"name": "BTC", "scale": 8}, {"name": "USDT", "scale": 8}],
    "symbols": [BTC_USDT],
    "redpanda": {"managed": {"replicas": 3}},
    "scylla": {"external": {"contactPoints": ["database"]}},
    "ubscore": {"shards": 2, "standby": True},
    "gateway": {"replicas": 2},
}
TRADING: Final = Symbols((("BTC_USDT", "Trading"),))
NO_GATEWAY: Final = Symbols(why="no gateway is ready yet")
KINDS: Final = [
    "Ready",
    "Progressing",
    "Degraded",
    "BrokerReady",
    "SchemaReady",
    "ComponentsReady",
    "SymbolsSynced",
]


def asked(**spec: Any) -> Exchange:
    return exchange_of(merged(SPEC, spec))


_running: list[SimulatedCluster] = []


def running() -> SimulatedCluster:
    if not _running:
        cluster = SimulatedCluster()
        converge(cluster, asked())
        _running.append(cluster)
    return _running[0].copy()


def status_of(
    cluster: SimulatedCluster,
    exchange: Exchange | None = None,
    symbols: Symbols = TRADING,
    previous: dict[str, Any] | None = None,
) -> dict[str, Any]:
    exchange = exchange or asked()
    wanted, observed = wanted_by(exchange), cluster.observe()
    planned = plan(exchange, wanted, observed, cluster.now)
    return build_status(exchange, wanted, observed, planned, symbols, previous or {}, cluster.now)


def told(status: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {one["type"]: (one["status"] == "True", one["reason"]) for one in status["conditions"]}


def message(status: dict[str, Any], kind: str) -> str:
    (found,) = [one["message"] for one in status["conditions"] if one["type"] == kind]
    return str(found)


def true(status: dict[str, Any]) -> set[str]:
    return {kind for kind, (is_so, _) in told(status).items() if is_so}


def break_pods(cluster: SimulatedCluster, *names: str) -> None:
    """They run and are not ready any more."""
    for name, pod in cluster.pods.items():
        if name.startswith(names):
            pod["status"] = {"phase": "Running"}
    for live in cluster.objects.values():
        if live["kind"] in ("Deployment", "StatefulSet"):
            cluster._count(live, {"updateRevision": live["status"].get("updateRevision")})


ALL_WELL: Final = {"Ready", "BrokerReady", "SchemaReady", "ComponentsReady", "SymbolsSynced"}


def test_an_exchange_that_runs_says_so() -> None:
    status = status_of(running())
    assert [one["type"] for one in status["conditions"]] == KINDS
    assert true(status) == ALL_WELL
    assert told(status)["Ready"] == (True, "Ready")
    assert message(status, "Ready") == "the exchange serves"
    assert told(status)["Progressing"] == (False, "Converged")
    assert told(status)["Degraded"] == (False, "NothingWrong")
    assert status["gateway"] == "2/2"
    assert status["symbols"] == [{"name": "BTC_USDT", "status": "Trading"}]
    assert status["symbolCount"] == 1
    assert status["endpoints"] == {"rest": "http://demo-gateway.trading.svc:3001"}
    assert status["observedGeneration"] == 1
    assert {one["observedGeneration"] for one in status["conditions"]} == {1}
    assert status["components"][0] == {
        "name": "redpanda",
        "desired": 3,
        "ready": 3,
        "image": "docker.io/redpandadata/redpanda:v24.3.9",
    }
    assert {"name": "ubscore-standby", "desired": 2, "ready": 2, "image": "exchange:1"} in status["components"]


def test_it_is_what_the_crd_knows() -> None:
    for status in (status_of(running()), status_of(SimulatedCluster(), symbols=NO_GATEWAY)):
        read = msgspec.convert(status, ExchangeStatus)
        assert msgspec.to_builtins(read).keys() | {"symbols", "symbolCount"} >= status.keys()


def test_nothing_new_is_the_same_status_at_any_time() -> None:
    cluster = running()
    status = status_of(cluster)
    cluster.now += timedelta(days=1)
    assert status_of(cluster, previous=status) == status


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    cluster = running()
    first = status_of(cluster)
    cluster.now += STEP
    break_pods(cluster, "demo-gateway")
    second = status_of(cluster, previous=first)
    times = {one["type"]: one["lastTransitionTime"] for one in first["conditions"]}
    later = {one["type"] for one in second["conditions"] if one["lastTransitionTime"] != times[one["type"]]}
    assert later == {"Ready", "Progressing", "ComponentsReady"}
    assert second["conditions"][0]["lastTransitionTime"] == cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_first_start_tells_what_it_waits_for() -> None:
    exchange, cluster = asked(), SimulatedCluster()
    status, reasons = status_of(cluster, symbols=NO_GATEWAY), []
    assert told(status)["Ready"] == (False, "BrokerNotReady")
    assert told(status)["SchemaReady"] == (False, "SchemaNotApplied")
    assert message(status, "ComponentsReady") == "ubscore-standby is not there yet"
    assert status["gateway"] == "0/2"
    assert (status["symbols"], status["symbolCount"]) == ([], 0)
    while not one_pass(cluster, exchange).converged:
        status = status_of(cluster, symbols=NO_GATEWAY)
        reason = told(status)["Ready"][1]
        reasons += [reason] if reason not in reasons else []
        assert "Degraded" not in true(status)
    assert reasons == [
        "BrokerNotReady",
        "TopicsNotApplied",
        "SchemaNotApplied",
        "UbscoreNotReady",
        "MatcherNotReady",
        "SettlementNotReady",
        "OrderHistoryNotReady",
        "GatewayNotReady",
        "NothingToTrade",
    ]
    assert message(status_of(cluster, symbols=NO_GATEWAY), "Ready") == "no gateway is ready yet"
    assert true(status_of(cluster)) == ALL_WELL


def test_an_upgrade_is_ready_and_progressing_while_all_is_served() -> None:
    cluster, newer = running(), asked(image={"tag": "2"})
    lost = set()
    while not (planned := one_pass(cluster, newer)).converged:
        status = status_of(cluster, newer)
        if planned.waiting_for in ("topics", "schema", "ubscore-standby", "ubscore", "gateway"):
            # A standby for each shard, and gateways that are replaced one by one.
            assert "Ready" in true(status)
        else:
            lost.add(told(status)["Ready"][1])
        assert not {"Degraded"} & true(status)
        assert {"BrokerReady", "SchemaReady", "SymbolsSynced"} <= true(status)
        assert told(status)["Progressing"][1] in ("RollingOut", "Applying", "Converged")
    assert lost == {"Ready", "MatcherNotReady", "SettlementNotReady", "OrderHistoryNotReady"}
    assert {one["image"] for one in status_of(cluster, newer)["components"][1:]} == {"exchange:2"}


def test_an_upgrade_that_stopped_serves_on_and_says_what_is_wrong() -> None:
    cluster, newer = running(), asked(image={"tag": "2"})
    wanted = with_spec(newer, Key("Deployment", "demo-gateway"), bad_image)
    for _ in range(60):
        planned = one_pass(cluster, newer, wanted)
    status = build_status(newer, wanted, cluster.observe(), planned, TRADING, {}, cluster.now)
    assert {"Ready", "Progressing", "Degraded", "SymbolsSynced"} <= true(status)
    assert told(status)["Degraded"] == (True, "Gateway")
    assert "cannot get its image exchange:bad: ImagePullBackOff: not found" in message(status, "Degraded")
    assert told(status)["ComponentsReady"] == (False, "GatewayNotReady")
    assert message(status, "Progressing").startswith("gateway: demo-gateway: 2 of 2 ready")


def test_a_job_that_fails_in_an_upgrade_degrades_what_serves_on() -> None:
    cluster, newer = running(), asked(image={"tag": "bad"})
    for _ in range(4):
        one_pass(cluster, newer)
    status = status_of(cluster, newer)
    assert {"Ready", "Progressing", "Degraded", "ComponentsReady"} <= true(status)
    assert told(status)["Degraded"] == (True, "Topics")
    assert told(status)["BrokerReady"] == (False, "TopicsFailed")
    assert message(status, "BrokerReady").endswith("failed: BackoffLimitExceeded")


@pytest.mark.parametrize(
    ("pods", "serves"),
    [
        (["demo-ubscore-0"], True),
        (["demo-ubscore-standby"], True),
        (["demo-ubscore-0", "demo-ubscore-standby-1"], True),
        (["demo-ubscore-1", "demo-ubscore-standby-1"], False),
        (["demo-matcher-0"], False),
        (["demo-redpanda-0"], True),
        (["demo-redpanda-0", "demo-redpanda-2"], False),
        (["demo-settlement"], False),
        (["demo-gateway"], False),
    ],
)
def test_ready_means_that_it_serves(pods: list[str], serves: bool) -> None:
    cluster = running()
    break_pods(cluster, *pods)
    status = status_of(cluster)
    assert ("Ready" in true(status)) is serves
    assert ("ComponentsReady" in true(status)) is all("redpanda" in name for name in pods)


def test_who_is_missed_is_named() -> None:
    cluster = running()
    break_pods(cluster, "demo-ubscore-1", "demo-ubscore-standby-1")
    status = status_of(cluster)
    assert told(status)["Ready"] == (False, "UbscoreNotReady")
    assert message(status, "Ready").startswith("nobody serves shard 1 of ubscore: demo-ubscore-standby: 1 of 2 ready")
    assert "pod demo-ubscore-1 runs and is not ready yet" in message(status, "Ready")


def test_one_gateway_of_two_serves() -> None:
    cluster = running()
    break_pods(cluster, min(name for name in cluster.pods if "gateway" in name))
    status = status_of(cluster)
    assert "Ready" in true(status)
    assert status["gateway"] == "1/2"
    assert told(status)["ComponentsReady"] == (False, "GatewayNotReady")


def test_a_pod_that_crashes_degrades() -> None:
    cluster = running()
    break_pods(cluster, "demo-settlement")
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 1, "message": "the chain is broken"}}
    cluster.pods["demo-settlement-0"]["status"]["containerStatuses"] = [{"state": crash, "lastState": last}]
    status = status_of(cluster)
    assert told(status)["Degraded"] == (True, "Settlement")
    assert message(status, "Degraded").endswith("it ended with exit code 1: the chain is broken")


def test_what_belongs_to_somebody_else_degrades() -> None:
    cluster = running()
    key = Key("Service", "demo-gateway")
    cluster.objects[key]["metadata"] = {"name": "demo-gateway"}
    status = status_of(cluster)
    assert told(status)["Degraded"] == (True, "Foundation")
    assert message(status, "Degraded").startswith("Service demo-gateway was made by somebody else")
    assert told(status)["Progressing"] == (True, "RollingOut")
    assert "Ready" in true(status)


def test_a_scaled_down_core_is_not_ready() -> None:
    cluster = running()
    cluster.edit(Key("StatefulSet", "demo-matcher"), {"replicas": 0})
    cluster.step()
    status = status_of(cluster)
    assert told(status)["Ready"] == (False, "MatcherNotReady")
    assert message(status, "Ready").endswith("somebody scaled it to 0")


# Symbols


def test_a_symbol_that_is_wrong_degrades_and_the_others_trade_on() -> None:
    symbols = Symbols((("BTC_USDT", "Trading"),), "symbol ETH_USDT has tickSize 1", broken=True)
    status = status_of(running(), symbols=symbols)
    assert told(status)["SymbolsSynced"] == (False, "NotSynced")
    assert told(status)["Degraded"] == (True, "Symbols")
    assert message(status, "SymbolsSynced") == message(status, "Degraded") == "symbol ETH_USDT has tickSize 1"
    assert "Ready" in true(status)


def test_symbols_that_are_on_their_way_are_progress() -> None:
    status = status_of(running(), symbols=Symbols((("BTC_USDT", "Trading"),), "1 symbol is not as wanted yet"))
    assert told(status)["Progressing"] == (True, "SyncingSymbols")
    assert "Degraded" not in true(status)


def test_nothing_declared_yet_is_nothing_to_trade() -> None:
    status = status_of(running(), symbols=Symbols(()))
    assert told(status)["Ready"] == (False, "NothingToTrade")
    assert message(status, "Ready") == "none of its symbols is declared yet"
    assert "Ready" in true(status_of(running(), asked(symbols=[]), Symbols(())))


def test_a_gateway_that_does_not_answer_leaves_symbols_as_they_were_told() -> None:
    cluster = running()
    before = status_of(cluster)
    status = status_of(cluster, symbols=Symbols(why="it does not answer"), previous=before)
    assert status["symbols"] == before["symbols"]
    assert "Ready" in true(status)
    assert told(status)["SymbolsSynced"] == (False, "NotSynced")


def test_symbols_that_left_the_resource_are_told_and_not_counted_and_those_of_others_are_not() -> None:
    cluster = running()
    before = {"symbols": [{"name": "ETH_USDT", "status": "Trading"}]}
    known = Symbols((("BTC_USDT", "Trading"), ("DOGE_USDT", "Trading"), ("ETH_USDT", "Halted")))
    status = status_of(cluster, symbols=known, previous=before)
    assert status["symbols"] == [
        {"name": "BTC_USDT", "status": "Trading"},
        {"name": "ETH_USDT", "status": "Halted"},
    ]
    assert status["symbolCount"] == 1


# Paused, failed


def test_a_paused_exchange_says_so_and_whether_it_serves() -> None:
    cluster = running()
    paused = asked(paused=True, image={"tag": "2"})
    status = status_of(cluster, paused)
    assert told(status)["Ready"] == (True, "Paused")
    assert message(status, "Ready") == "the exchange serves; while it is paused, nothing is changed"
    assert told(status)["Progressing"] == (False, "Paused")
    break_pods(cluster, "demo-matcher")
    assert told(status_of(cluster, paused))["Ready"] == (False, "Paused")


def test_a_resource_that_cannot_be_is_degraded_and_what_serves_stays_ready() -> None:
    cluster = running()
    before = status_of(cluster)
    cluster.now += STEP
    status = failed_status(7, "InvalidSpec", "spec: gateway.replicas: expected int", before, cluster.now)
    assert told(status)["Degraded"] == (True, "InvalidSpec")
    assert told(status)["Progressing"] == (False, "InvalidSpec")
    assert told(status)["Ready"] == (True, "Ready")
    assert message(status, "Ready") == "the exchange serves"
    assert [one["type"] for one in status["conditions"]] == KINDS
    assert status["observedGeneration"] == 7
    assert status["components"] == before["components"]
    again = failed_status(7, "InvalidSpec", "spec: gateway.replicas: expected int", status, cluster.now + STEP)
    assert again == status


def test_a_resource_that_never_could_be_is_not_ready() -> None:
    now = SimulatedCluster().now
    status = failed_status(1, "InvalidSpec", "spec: image: missing", {}, now)
    assert {kind: is_so for kind, (is_so, _) in told(status).items()} == {
        "Ready": False,
        "Progressing": False,
        "Degraded": True,
    }
    assert {one["message"] for one in status["conditions"]} == {"spec: image: missing"}


def test_conditions_of_a_deletion_keep_their_time() -> None:
    now = SimulatedCluster().now
    first = conditions({"Ready": (False, "Deleting", "a")}, 1, {}, now)
    assert conditions({"Ready": (False, "Deleting", "a")}, 1, {"conditions": first}, now + STEP) == first


def test_an_empty_cluster_has_a_status_too() -> None:
    exchange = asked()
    status = build_status(
        exchange, wanted_by(exchange), Observed({}), Plan((), "broker", "why"), NO_GATEWAY, {}, SimulatedCluster().now
    )
    assert true(status) == {"Progressing"}
    assert message(status, "Progressing") == "broker: why"
