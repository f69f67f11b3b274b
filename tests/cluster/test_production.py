"""k8s/exchange-production.yaml, as its comments and docs/operations tell a person to use it, up to a restore.

Brokers with TLS and logins, a database with both and a store for backups run outside of the cluster. What this node
has not: somebody who enforces NetworkPolicies, a controller for Ingresses, and metrics for autoscalers. These objects
are looked at and no more. One story, in the order of this file: each test goes on where the one before it ended.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient

from services.adapters.internal.client import RemoteCore
from services.adapters.ports import CoreState
from services.demo.client import USERS
from services.runtime.credentials import KEY_FILE, read_secrets
from tests.cluster.handbook import Handbook
from tests.cluster.machine import NAME as NODE
from tests.cluster.node import Cluster
from tests.cluster.on_cluster import OnCluster
from tests.cluster.outside import Outside, secret_values
from tests.cluster.prepared import VERSIONS
from tests.support.acknowledged import eventually, until_stored

pytestmark = pytest.mark.cluster

_PRODUCTION: Final = Path(__file__).parents[2] / "k8s" / "exchange-production.yaml"
_NAMESPACE: Final = "trading"
_NAME: Final = "main"
_BUCKET: Final = "exchange-backups"
_TAINT: Final = "node.example.com/dedicated"
_POOL: Final = "node.example.com/pool"
_BACKUPS: Final = "backup-restore.md"
_DATABASE_LOGIN: Final = {"username": "exchange_main", "password": "change-me"}
_INTERNAL_PORT: Final = 3100
_GATEWAYS: Final = 3
_CONNECTIONS: Final = 40
"""So many that each of three gateways gets one of them."""
_BACKUP_NAME: Final = re.compile(r"Made (backup-\S+) in s3://")
_CORES: Final = ("ubscore", "matcher")
_COMPONENTS: Final = ("gateway", "ubscore", "matcher", "settlement", "orderHistory")


Digests = dict[str, tuple[int, bytes]]


class Before(NamedTuple):
    """What an exchange is when nobody does anything any more. holdings: what `_holdings` says."""

    digests: Digests
    holdings: dict[int, Any]


def _production(outside: Outside) -> dict[str, Any]:
    """The file, with all that cannot be as it says here. Nothing else is changed by these tests, apart from what
    docs/operations has a person change for a restore."""
    # The node has as many processors as this machine, and perhaps less memory than is asked for; limits stay.
    little = {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}}
    written = yaml.safe_load(_PRODUCTION.read_text())
    instead = {
        # The story of `exchange demo` wants one fee for both.
        "symbols": [symbol | {"makerFee": symbol["takerFee"]} for symbol in written["spec"]["symbols"]],
        # Nobody answers at example.com, and there is one broker and one node of a database.
        "redpanda": {"external": {"bootstrapServers": [outside.broker.secure_address], "replication": 1}},
        "scylla": {
            "external": {
                "contactPoints": [outside.database.host],
                "port": outside.database.port,
                "localDatacenter": "datacenter1",
                "replicationFactor": 1,
            }
        },
        **dict.fromkeys(_COMPONENTS, little),
    }
    return _merged(written, {"metadata": {"namespace": _NAMESPACE}, "spec": instead})


def _merged(one: Any, other: Any) -> Any:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return one | {key: _merged(one.get(key), value) for key, value in other.items()}


@pytest.fixture(scope="module")
def outside(operated: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """What runs outside of the cluster; the bucket and the database's login are there, as docs and file want them."""
    outside = Outside(tmp_path_factory.mktemp("outside"), operated.machine.host_address)
    try:
        outside.start()
        (outside.store.root / _BUCKET).mkdir()
        yield outside
    finally:
        outside.end()


@pytest.fixture(scope="module")
def exchange(operated: Cluster, outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnCluster]:
    """The Exchange, which is not there yet, on a cluster that has what the file names, and nodes of its own."""
    image = yaml.safe_load(_PRODUCTION.read_text())["spec"]["image"]
    held = f"docker.io/library/exchange-platform:{VERSIONS[0]}"
    operated.name_image(held, f"{image['repository']}:{image['tag']}")
    metadata = {"name": "trading"}
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata, "value": 1000}
    operated.apply(json.dumps(priority))
    operated.kubectl("label", "node", NODE, f"{_POOL}=trading")
    operated.kubectl("taint", "node", NODE, f"{_TAINT}=trading:NoSchedule")
    try:
        yield OnCluster(operated, _NAMESPACE, _NAME, tmp_path_factory.mktemp("production"))
    finally:
        operated.kubectl("uncordon", NODE)
        operated.kubectl("taint", "node", NODE, f"{_TAINT}-")
        operated.kubectl("label", "node", NODE, f"{_POOL}-")


@pytest.fixture(scope="module")
def handbook(exchange: OnCluster, tmp_path_factory: pytest.TempPathFactory) -> Handbook:
    """docs/operations, for this Exchange."""
    begin = f"NAMESPACE={_NAMESPACE} EXCHANGE={_NAME}\n. docs/operations/jobs.sh"
    folder = tmp_path_factory.mktemp("operator")
    volumes = {" 10Gi": " 50Gi fast-ssd", " 5Gi": " 20Gi fast-ssd"}
    return Handbook(exchange.cluster.kubeconfig, folder, begin, {"demo": _NAME, **volumes})


def _make_secrets(exchange: OnCluster, outside: Outside) -> None:
    """The namespace admits restricted pods alone; the Secrets are made by the commands in the file's comments."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    exchange.cluster.kubectl("label", "namespace", _NAMESPACE, label)
    values = secret_values(outside, exchange.folder, _DATABASE_LOGIN)
    comments = re.sub(r"^#", "", _PRODUCTION.read_text().replace("\\\n#", ""), flags=re.MULTILINE)
    commands = [line.split() for line in comments.splitlines() if line.split()[:3] == ["kubectl", "create", "secret"]]
    assert {words[4] for words in commands} == set(values)
    for _, *words in commands:
        exchange.kubectl(*(_filled_in(word, values[words[3]]) for word in words))


def _filled_in(word: str, values: dict[str, str]) -> str:
    """`--from-literal=username=…` with the user name."""
    if not word.endswith("=…"):
        return word
    key = word.removesuffix("=…").rpartition("=")[2].removeprefix("--")
    return word.replace("…", values[key])


def _states(exchange: OnCluster) -> dict[str, CoreState]:
    """By pod of the cores that runs, standbys too, where it stands, its digest and its role."""
    key = exchange.folder / KEY_FILE
    key.write_bytes(base64.b64decode(exchange.get("secret", f"{_NAME}-keys")["data"][KEY_FILE]))
    token = read_secrets(key).internal_token

    async def state(core: str, address: str) -> CoreState:
        remote = RemoteCore(f"{core}-0", [f"http://{address}:{_INTERNAL_PORT}"], token)
        try:
            return await remote.state()
        finally:
            await remote.close()

    return {
        pod["metadata"]["name"]: asyncio.run(state(core, pod["status"]["podIP"]))
        for core in _CORES
        for component in (core, f"{core}-standby")
        for pod in exchange.pods(component)
        if "podIP" in pod["status"]
    }


def _digests(exchange: OnCluster) -> Digests:
    """By core, where it stands and its digest, once it has nothing left to do and its standby has the same."""
    seen: list[Digests] = []

    def rests() -> bool:
        states = {name: (state.next_offset, state.digest) for name, state in _states(exchange).items()}
        seen.append({core: states[f"{_NAME}-{core}-0"] for core in _CORES})
        equal = all(states[f"{_NAME}-{core}-standby-0"] == found for core, found in seen[-1].items())
        return equal and seen[-2:-1] == seen[-1:]

    eventually(rests)
    return seen[-1]


def _holdings(exchange: OnCluster) -> dict[int, Any]:
    """By user, balances, open orders, and how many orders there ever were."""
    api = exchange.api()
    until_stored(api)
    asked = ("balances", "orders/active", "orders/statistics")
    return {user: [api.get(f"/api/{what}", user, user_id=user) for what in asked] for user in USERS}


def _answers_of_gateways(exchange: OnCluster) -> dict[str, float]:
    """By gateway, how many orders it has answered."""
    counted = re.compile(r'^exchange_gateway_requests_total\{.*route="/api/orders",status="200"\} (\S+)$', re.MULTILINE)
    found = {}
    for pod in exchange.pods("gateway"):
        text = httpx.get(f"http://{pod['status']['podIP']}:{_INTERNAL_PORT}/metrics").text
        found[pod["metadata"]["name"]] = sum(map(float, counted.findall(text)))
    return found


# The exchange


def test_applied_with_the_secrets_of_its_comments_becomes_ready(
    exchange: OnCluster, outside: Outside, handbook: Handbook
) -> None:
    outside.cql(handbook.block("redpanda-scylla-operators.md", "CREATE ROLE"))
    exchange.cluster.kubectl("create", "namespace", _NAMESPACE)
    _make_secrets(exchange, outside)
    begin = time.monotonic()
    exchange.cluster.apply(yaml.safe_dump(_production(outside)))
    exchange.settle()
    print(f"\nkubectl apply to Ready: {time.monotonic() - begin:.0f} s")
    row = exchange.kubectl("get", "exch", _NAME).splitlines()[1].split()
    assert row[:4] == [_NAME, "True", "Ready", f"{_GATEWAYS}/{_GATEWAYS}"]
    for pod in exchange.pods():
        assert pod["spec"]["nodeSelector"] == {_POOL: "trading"}
        assert pod["spec"]["priority"] == 1000


def test_policies_budgets_and_ingress_are_there(exchange: OnCluster, outside: Outside) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in exchange.get("networkpolicies")["items"]}
    clients = ("broker-clients", "database-clients")
    pairs = ("cores", "core-readers", "members", "watchers")
    names = ("default", *clients, *pairs, "metrics", "rest", "backup")
    assert set(policies) == {f"{_NAME}-{name}" for name in names}
    assert policies[f"{_NAME}-default"]["policyTypes"] == ["Ingress", "Egress"]
    ports = {name: policies[f"{_NAME}-{name}"]["egress"][0]["ports"] for name in clients}
    assert ports == {
        "broker-clients": [{"protocol": "TCP", "port": int(outside.broker.secure_address.rpartition(":")[2])}],
        "database-clients": [{"protocol": "TCP", "port": outside.database.port}],
    }
    scraped = policies[f"{_NAME}-metrics"]["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]
    assert scraped == {"kubernetes.io/metadata.name": "monitoring"}

    budgets = {one["metadata"]["name"]: one["status"] for one in exchange.get("pdb")["items"]}
    expected = {"gateway": _GATEWAYS, "ubscore": 2, "matcher": 2, "settlement": 1, "order-history": 1}
    assert {name: status["expectedPods"] for name, status in budgets.items()} == {
        f"{_NAME}-{name}": count for name, count in expected.items()
    }
    assert {status["disruptionsAllowed"] for status in budgets.values()} == {1}

    (ingress,) = exchange.get("ingress")["items"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": ["api.example.com"], "secretName": "api-certificate"}]
    assert exchange.get("hpa")["items"] == []


def test_three_gateways_trade_the_story_through_the_service(exchange: OnCluster) -> None:
    exchange.open_accounts()
    assert exchange.story().trades == 148
    order = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "LimitMaker", "price": "46000", "quantity": "0.001"}
    for number in range(_CONNECTIONS):
        api = exchange.api()
        api.post("/api/orders", {"cid": f"own-connection-{number}", **order}, 1001)
        api.close()
    answers = _answers_of_gateways(exchange)
    print(f"\nOrders answered by each gateway: {sorted(answers.values())}")
    assert len(answers) == _GATEWAYS
    assert min(answers.values()) > 0


def test_token_of_the_login_site_is_taken(exchange: OnCluster, outside: Outside) -> None:
    (issuer,) = exchange.resource()["spec"]["gateway"]["issuers"]
    statuses = {}
    for audience in (issuer["audience"], "somebody else"):
        token = outside.logins.token(issuer["issuer"], audience, 1001)
        answer = httpx.get(
            f"{exchange.url}/api/balances", params={"user_id": 1001}, headers={"Authorization": f"Bearer {token}"}
        )
        statuses[audience] = answer.status_code
    assert statuses == {issuer["audience"]: 200, "somebody else": 401}


def test_standby_takes_over_from_a_pod_that_is_gone_and_nothing_is_lost(exchange: OnCluster) -> None:
    active = f"{_NAME}-ubscore-0"
    with exchange.load() as load:
        load.wait_for(30)
        # There is no other node: nobody can make the pod anew, and whoever answers is the standby.
        exchange.cluster.kubectl("cordon", NODE)
        begin = time.monotonic()
        exchange.kubectl("delete", "pod", active, "--force", "--grace-period=0")
        exchange.until(lambda: _states(exchange)[f"{_NAME}-ubscore-standby-0"].role == "active", "the standby speaks")
        print(f"\nThe standby spoke after {time.monotonic() - begin:.1f} s")
        load.wait_for(100)
        assert exchange.get("pod", active)["status"]["phase"] == "Pending"
        exchange.cluster.kubectl("uncordon", NODE)
        exchange.settle()
        load.wait_for(30)
    print(f"Requests {len(load.done)}, not answered at the first attempt {len(load.failed)}")


# Its backup, and everything anew


@pytest.fixture(scope="module")
def before(exchange: OnCluster) -> Before:
    """The exchange as it is backed up."""
    holdings = _holdings(exchange)
    return Before(_digests(exchange), holdings)


def test_backup_is_made_listed_and_whole(exchange: OnCluster, handbook: Handbook, before: Before) -> None:
    assert any(active["orders"] for _, active, _ in before.holdings.values())
    handbook.follow(_BACKUPS, "demo-backup-now")
    made = _BACKUP_NAME.search(exchange.kubectl("logs", f"job/{_NAME}-backup-now"))
    assert made is not None
    handbook.words["backup-20260101T000000.000Z"] = made[1]
    said = handbook.follow(_BACKUPS, "demo-verify-backup")
    assert f"{made[1]} is whole" in said
    for core, (offset, digest) in before.digests.items():
        assert f"{core}-0: {digest.hex()} at offset {offset:,}" in said
    assert "checks passed" in said
    handbook.follow(_BACKUPS, "save_keys")


def test_everything_is_deleted(exchange: OnCluster, handbook: Handbook) -> None:
    handbook.follow(_BACKUPS, "delete exch demo")
    assert exchange.lives() == {}
    assert exchange.get("pvc")["items"] == []
    exchange.cluster.kubectl("delete", "namespace", _NAMESPACE)


def test_restored_it_has_the_same_digests_balances_and_open_orders(
    exchange: OnCluster, outside: Outside, handbook: Handbook, before: Before
) -> None:
    begin = time.monotonic()
    handbook.follow(_BACKUPS, "create namespace")
    _make_secrets(exchange, outside)
    handbook.follow(_BACKUPS, "core_volume matcher-standby")
    body = _merged(
        _production(outside),
        {"spec": {"redpanda": {"topicPrefix": "again."}, "scylla": {"external": {"keyspace": "again"}}}},
    )
    held_back = yaml.safe_load(handbook.block(_BACKUPS, "suspend: true"))
    handbook.write("main.yaml", yaml.safe_dump(_merged(body, held_back)))
    handbook.follow(_BACKUPS, "condition=SchemaReady")
    said = handbook.follow(_BACKUPS, "demo-restore backup restore")
    for core, (offset, digest) in before.digests.items():
        assert f"{core}-0: will be {digest.hex()} at offset {offset:,}" in said
    handbook.follow(_BACKUPS, "demo-restore-ms0")
    handbook.write("main.yaml", yaml.safe_dump(body))
    assert "checks passed" in handbook.follow(_BACKUPS, "--for=condition=Ready")
    print(f"\nRestored within {time.monotonic() - begin:.0f} s")
    exchange.settle()
    assert _digests(exchange) == before.digests
    assert _holdings(exchange) == before.holdings


def test_restored_it_trades_on(exchange: OnCluster) -> None:
    with exchange.load() as load:
        load.wait_for(50)
    assert exchange.verify()


def test_deleted_with_delete_leaves_brokers_and_database_as_they_were(exchange: OnCluster, outside: Outside) -> None:
    exchange.patch({"spec": {"deletionPolicy": "Delete"}})
    exchange.kubectl("delete", "exch", _NAME, "--timeout=600s")
    # What the first one had stays: that was deleted with Retain.
    assert {name.split(".")[0] for name in asyncio.run(_topics(outside)) if "." in name} == {"main"}
    assert outside.keyspaces() & {"main", "again"} == {"main"}
    assert exchange.get("pvc")["items"] == []


async def _topics(outside: Outside) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=outside.broker.address)
    await admin.start()
    try:
        topics: list[str] = await admin.list_topics()
        return topics
    finally:
        await admin.close()
