"""What the operator reads from a cluster and does to it, on a real API server."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import kubernetes.client
import pytest
from exchange_operator.actions import Apply, CreateKeys, Delete, DeletePod, GrowVolume, Observed
from exchange_operator.cluster import Cluster
from exchange_operator.kubernetes_api import ClusterError, ClusterUnavailable, KubernetesApi, Refused
from exchange_operator.manifests import Capabilities
from exchange_operator.names import Key, Manifest, labels, manifest
from exchange_operator.resource import Exchange

from tests.cluster.api_server import ApiServer
from tests.operator.exchanges import api_of, create, know_exchanges, minimal, new_namespace
from tests.support.exchange_process import free_port

_MONITORS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: ServiceMonitor, plural: servicemonitors, listKind: ServiceMonitorList, singular: servicemonitor}
  scope: Namespaced
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""

_CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fixed}
provisioner: exchange.test/none
allowVolumeExpansion: false
"""


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    know_exchanges(api_server)
    return api_server


@pytest.fixture
def cluster(server: ApiServer) -> Iterator[Cluster]:
    cluster = Cluster(api_of(server))
    yield cluster
    cluster.close()


@pytest.fixture
def exchange(server: ApiServer) -> Exchange:
    return create(server, minimal(namespace=new_namespace(server)))


def _config_map(exchange: Exchange, name: str = "demo-settings", **data: str) -> Manifest:
    return manifest("v1", "ConfigMap", exchange, "config", name, data=data)


def _do(cluster: Cluster, exchange: Exchange, *actions: Any, observed: Observed | None = None) -> None:
    for action in actions:
        cluster.execute(exchange, action, observed or Observed({}))


def test_applied_objects_are_observed_with_their_kind_and_without_managers(
    cluster: Cluster, exchange: Exchange
) -> None:
    service = manifest("v1", "Service", exchange, "gateway", spec={"ports": [{"port": 1}], "clusterIP": "None"})
    _do(cluster, exchange, Apply(_config_map(exchange, a="1"), ""), Apply(service, ""))

    objects = cluster.observe(exchange, []).objects

    assert objects.keys() == {Key("ConfigMap", "demo-settings"), Key("Service", "demo-gateway")}
    live = objects[Key("ConfigMap", "demo-settings")]
    assert (live["apiVersion"], live["kind"], live["data"]) == ("v1", "ConfigMap", {"a": "1"})
    assert "managedFields" not in live["metadata"]


def test_observe_finds_what_has_a_wanted_name_and_not_what_others_have(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    for name in ("wanted", "unwanted"):
        server.kubectl("-n", exchange.namespace, "create", "configmap", name)

    found = cluster.observe(exchange, [Key("ConfigMap", "wanted"), Key("ConfigMap", "missing")]).objects

    assert found.keys() == {Key("ConfigMap", "wanted")}


def test_observe_of_another_exchange_in_the_namespace_sees_nothing_of_this_one(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    other = create(server, minimal("other", exchange.namespace))
    _do(cluster, exchange, Apply(_config_map(exchange), ""))

    assert not cluster.observe(other, []).objects


def test_apply_again_without_a_field_takes_it_away_and_the_same_again_writes_nothing(
    cluster: Cluster, exchange: Exchange
) -> None:
    key = Key("ConfigMap", "demo-settings")
    versions = []
    for data in ({"a": "1", "b": "2"}, {"a": "1"}, {"a": "1"}):
        _do(cluster, exchange, Apply(_config_map(exchange, **data), ""))
        live = cluster.observe(exchange, []).objects[key]
        assert live["data"] == data
        versions.append(live["metadata"]["resourceVersion"])

    assert versions[0] != versions[1] == versions[2]


def test_apply_wins_against_who_changed_the_object_by_hand(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    apply = Apply(_config_map(exchange, a="1"), "")
    _do(cluster, exchange, apply)
    server.kubectl("-n", exchange.namespace, "patch", "configmap/demo-settings", "-p", '{"data": {"a": "9"}}')
    _do(cluster, exchange, apply)

    assert cluster.observe(exchange, []).objects[Key("ConfigMap", "demo-settings")]["data"] == {"a": "1"}


def test_delete_of_what_was_replaced_meanwhile_leaves_the_new_one(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    key = Key("ConfigMap", "demo-settings")
    _do(cluster, exchange, Apply(_config_map(exchange, a="1"), ""))
    before = cluster.observe(exchange, [])
    server.kubectl("-n", exchange.namespace, "delete", "configmap/demo-settings")
    _do(cluster, exchange, Delete(key, ""), observed=before)
    assert not cluster.observe(exchange, []).objects

    _do(cluster, exchange, Apply(_config_map(exchange, a="2"), ""), Delete(key, ""), observed=before)
    after = cluster.observe(exchange, [])
    assert after.objects[key]["data"] == {"a": "2"}

    _do(cluster, exchange, Delete(key, ""), observed=after)
    assert not cluster.observe(exchange, []).objects


def test_delete_that_orphans_asks_the_collector_to_keep_what_the_object_controls(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    pods = labels(exchange, "matcher")
    template = {"metadata": {"labels": pods}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    spec = {"selector": {"matchLabels": pods}, "serviceName": "demo-matcher", "template": template}
    _do(cluster, exchange, Apply(manifest("apps/v1", "StatefulSet", exchange, "matcher", spec=spec), ""))
    key = Key("StatefulSet", "demo-matcher")

    _do(cluster, exchange, Delete(key, "", orphan=True), observed=cluster.observe(exchange, []))

    # No garbage collector is there that would take the finalizer away once the pods are free.
    live = cluster.observe(exchange, []).objects[key]
    assert live["metadata"]["finalizers"] == ["orphan"]


def test_delete_pod_deletes_the_pod_that_was_seen(server: ApiServer, cluster: Cluster, exchange: Exchange) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "demo-matcher-0", "namespace": exchange.namespace, "labels": labels(exchange, "matcher")},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    server.apply(json.dumps(pod))
    before = cluster.observe(exchange, [])
    assert [one["metadata"]["name"] for one in before.pods] == ["demo-matcher-0"]

    _do(cluster, exchange, DeletePod("demo-matcher-0", ""), observed=before)

    assert not cluster.observe(exchange, []).pods


def test_keys_are_made_once_can_be_read_back_and_belong_to_nobody(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    _do(cluster, exchange, CreateKeys("demo-keys"))
    first = cluster.admin_key(exchange)
    _do(cluster, exchange, CreateKeys("demo-keys"))

    assert cluster.admin_key(exchange) == first
    secret = server.get("-n", exchange.namespace, "secret/demo-keys")
    assert len(base64.b64decode(secret["data"]["secret.key"])) == 32
    assert "ownerReferences" not in secret["metadata"]
    seen = cluster.observe(exchange, []).objects[Key("Secret", "demo-keys")]
    assert seen["metadata"]["uid"] == secret["metadata"]["uid"]
    assert "data" not in seen


def test_admin_key_of_a_damaged_secret_is_refused_with_what_to_do(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    server.kubectl("-n", exchange.namespace, "create", "secret", "generic", "demo-keys", "--from-literal=other=x")
    with pytest.raises(ClusterError, match=r"demo-keys: its credentials.json has no admin key; bring .* backup"):
        cluster.admin_key(exchange)


def test_volume_of_a_class_that_cannot_grow_is_refused_with_what_to_change(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-0", "namespace": exchange.namespace, "labels": labels(exchange, "matcher")},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fixed",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    server.apply(_CLASS)
    server.apply(json.dumps(claim))
    with pytest.raises(Refused, match=r"data-0 cannot grow to 2Gi; .* allowVolumeExpansion: true: .* claims$"):
        _do(cluster, exchange, GrowVolume("data-0", "2Gi"))


def test_status_is_written_when_it_changes_and_what_it_no_longer_says_goes(
    cluster: Cluster, exchange: Exchange
) -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2024-05-01T12:00:00Z",
        "observedGeneration": 1,
    }
    first = {"observedGeneration": 1, "gateway": "1/1", "conditions": [condition]}
    versions = []
    for status, changes in ((first, True), (first, False), ({"observedGeneration": 1}, True)):
        resource = cluster.exchange(exchange.namespace, exchange.name)
        assert resource is not None
        assert cluster.put_status(resource, status) is changes
        after = cluster.exchange(exchange.namespace, exchange.name)
        assert after is not None
        assert after["status"] == status
        versions.append(after["metadata"]["resourceVersion"])

    assert versions[0] == versions[1] != versions[2]


def test_status_of_an_exchange_that_was_replaced_is_not_written(cluster: Cluster, exchange: Exchange) -> None:
    resource = cluster.exchange(exchange.namespace, exchange.name)
    assert resource is not None
    replaced = {**resource, "metadata": {**resource["metadata"], "uid": "another"}}
    with pytest.raises(Refused, match=r"Exchange .*/demo"):
        cluster.put_status(replaced, {"observedGeneration": 7})
    after = cluster.exchange(exchange.namespace, exchange.name)
    assert after is not None
    assert after.get("status", {}) == {}


def test_exchange_that_is_gone_is_none(cluster: Cluster) -> None:
    assert cluster.exchange("default", "nobody") is None


def test_event_is_shown_with_the_exchange(server: ApiServer, cluster: Cluster, exchange: Exchange) -> None:
    resource = cluster.exchange(exchange.namespace, exchange.name)
    assert resource is not None
    cluster.post_event(resource, "Warning", "UpgradeStopped", "é" * 2_000)

    (event,) = server.get("-n", exchange.namespace, "events")["items"]
    assert (event["type"], event["reason"], event["involvedObject"]["uid"]) == (
        "Warning",
        "UpgradeStopped",
        exchange.uid,
    )
    assert event["message"] == "é" * 512
    assert "UpgradeStopped" in server.kubectl("-n", exchange.namespace, "describe", "exchange", "demo")


def test_kinds_that_the_cluster_learns_are_known_after_a_while_and_their_objects_seen(
    server: ApiServer, exchange: Exchange
) -> None:
    now = [0.0]
    cluster = Cluster(api_of(server), clock=lambda: now[0])
    assert cluster.capabilities() == Capabilities(service_monitor=False)
    server.apply(_MONITORS)
    server.kubectl("wait", "crd/servicemonitors.monitoring.coreos.com", "--for=condition=Established")
    assert cluster.capabilities() == Capabilities(service_monitor=False)
    now[0] = 60.0
    try:
        assert cluster.capabilities() == Capabilities(service_monitor=True)
        _do(cluster, exchange, Apply(manifest("monitoring.coreos.com/v1", "ServiceMonitor", exchange, "gateway"), ""))
        assert Key("ServiceMonitor", "demo-gateway") in cluster.observe(exchange, []).objects
    finally:
        server.kubectl("delete", "crd/servicemonitors.monitoring.coreos.com")
    # It is still remembered as known, and has no objects.
    assert not cluster.observe(exchange, []).objects
    cluster.close()


def test_object_that_the_server_refuses_raises_its_sentence(cluster: Cluster, exchange: Exchange) -> None:
    service = manifest("v1", "Service", exchange, "gateway", spec={"ports": [{"port": 70_000}]})
    with pytest.raises(Refused, match=r"Service .*/demo-gateway: the API server refuses it: .*between 1 and 65535"):
        _do(cluster, exchange, Apply(service, ""))


def test_who_may_not_do_it_is_told_which_right_is_missing(server: ApiServer, exchange: Exchange) -> None:
    nobody = api_of(server)
    nobody._client.default_headers["Impersonate-User"] = "nobody"
    with pytest.raises(Refused, match=r'cannot get resource "exchanges".*give the operator.s ServiceAccount this'):
        Cluster(nobody).exchange(exchange.namespace, exchange.name)
    nobody.close()


def test_delete_that_is_not_allowed_names_the_object(server: ApiServer, cluster: Cluster, exchange: Exchange) -> None:
    _do(cluster, exchange, Apply(_config_map(exchange), ""))
    seen, nobody = cluster.observe(exchange, []), api_of(server)
    nobody._client.default_headers["Impersonate-User"] = "nobody"
    with pytest.raises(Refused, match=f"ConfigMap {exchange.namespace}/demo-settings: .* cannot delete"):
        _do(Cluster(nobody), exchange, Delete(Key("ConfigMap", "demo-settings"), ""), observed=seen)
    nobody.close()


def test_namespace_that_is_being_deleted_is_no_missing_right(
    server: ApiServer, cluster: Cluster, exchange: Exchange
) -> None:
    server.kubectl("delete", "namespace", exchange.namespace, "--wait=false")
    with pytest.raises(Refused, match=r"demo-settings: the API server refuses it: .* is being terminated$"):
        _do(cluster, exchange, Apply(_config_map(exchange), ""))


def test_server_with_a_certificate_of_somebody_else_is_unavailable_and_says_why(server: ApiServer) -> None:
    configuration = kubernetes.client.Configuration()
    configuration.host = server.server.url
    cluster = Cluster(KubernetesApi(configuration))
    with pytest.raises(ClusterUnavailable, match=r"Exchange a/b: no TLS connection .*: .*CERTIFICATE_VERIFY_FAILED"):
        cluster.exchange("a", "b")
    cluster.close()


def test_server_that_is_not_there_is_unavailable() -> None:
    configuration = kubernetes.client.Configuration()
    configuration.host = f"http://127.0.0.1:{free_port()}"
    cluster = Cluster(KubernetesApi(configuration))
    with pytest.raises(ClusterUnavailable, match="Exchange a/b: the API server does not answer"):
        cluster.exchange("a", "b")
    cluster.close()
