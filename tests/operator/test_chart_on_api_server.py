"""What a real API server says to the chart: every object, the operator's rights, install, upgrade, test, uninstall."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml
from exchange_operator.handlers import CHILDREN
from exchange_operator.kubernetes_api import KINDS
from exchange_operator.resource import GROUP, PLURAL

from tests.cluster import tools
from tests.cluster.api_server import ApiServer
from tests.operator.chart import CHART, EXAMPLES, NAMESPACE, RELEASE, render
from tests.real.fetched import fetched

_PROMETHEUS_OPERATOR: Final = "0.80.1"
_WATCHED: Final = ("trading", "staging")
_EVERYBODY: Final = "everybody-may"
"""A namespace in which the operator was given nothing."""
_WRITE: Final = frozenset({"create", "patch", "delete"})
"""What it takes to make an object, to put it right and to remove it: applying wants `create` for what is missing."""
_NOT_OURS: Final = {
    "Exchange": frozenset({"get", "list", "patch"}),
    "Pod": frozenset({"get", "list", "delete"}),
    "PersistentVolumeClaim": frozenset({"get", "list", "patch", "delete"}),
    "Secret": frozenset({"get", "create", "delete"}),
    "Event": frozenset({"create"}),
}
"""Of kinds that the operator does not make, or that are for others to read."""
_SUBRESOURCES: Final = {"exchanges/status": "patch", "exchanges/finalizers": "update"}


class Right(NamedTuple):
    """What somebody may do. name: with this object alone; empty: with all."""

    group: str
    resource: str
    verb: str
    name: str = ""


def rights(group: str, resource: str, verbs: Iterable[str], name: str = "") -> set[Right]:
    return {Right(group, resource, verb, name) for verb in verbs}


def needs() -> set[Right]:
    """What the operator does with the kinds that its code knows, in a namespace with Exchanges."""
    found = {Right(GROUP, resource, verb) for resource, verb in _SUBRESOURCES.items()}
    watched = {(group, plural) for group, _, plural in CHILDREN} | {(GROUP, PLURAL)}
    for name, kind in KINDS.items():
        group = kind.api_version.rpartition("/")[0]
        verbs = _NOT_OURS.get(name, _WRITE | {"get", "list"})
        found |= rights(group, kind.plural, verbs | {"watch"} if (group, kind.plural) in watched else verbs)
    return found


@pytest.fixture(scope="module")
def kubernetes(api_server: ApiServer) -> Iterator[ApiServer]:
    """The API server with the namespaces of all examples, which admit restricted pods alone, and all kinds.

    Other tests on this server begin where a cluster knows nothing of Prometheus, so it forgets these kinds again.
    """
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    for name in (NAMESPACE, *_WATCHED, _EVERYBODY):
        metadata = {"name": name, "labels": levels}
        api_server.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    monitoring = list(_monitoring_kinds())
    for path in (*monitoring, CHART / "crds" / "kopfpeerings.yaml"):
        api_server.kubectl("apply", "--server-side", "-f", str(path))
    established = ("--for=condition=Established", "crd", "--all", "--timeout=30s")
    api_server.kubectl("wait", *established)
    yield api_server
    for path in monitoring:
        api_server.kubectl("delete", "-f", str(path))


def _monitoring_kinds() -> Iterator[Path]:
    """ServiceMonitor and PrometheusRule, as Prometheus's operator defines them."""
    module = f"github.com/prometheus-operator/prometheus-operator@v{_PROMETHEUS_OPERATOR}"

    def fetch(folder: Path) -> None:
        done = subprocess.run(
            ["go", "mod", "download", "-json", module], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{module} cannot be had from Go's module proxy: {done.stdout}{done.stderr}"
        shutil.copytree(Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd", folder)

    folder = fetched(f"prometheus-operator-kinds-{_PROMETHEUS_OPERATOR}", fetch)
    for name in ("servicemonitors", "prometheusrules"):
        yield folder / f"monitoring.coreos.com_{name}.yaml"


@pytest.fixture
def installed(kubernetes: ApiServer) -> Iterator[Callable[..., str]]:
    """`helm install` with these options; uninstalled when the test ends."""

    def install(*options: str) -> str:
        # The kind may have been made by other tests on this server.
        return kubernetes.helm("install", RELEASE, str(CHART), "-n", NAMESPACE, "--take-ownership", *options)

    yield install
    kubernetes.helm("uninstall", RELEASE, "-n", NAMESPACE, "--ignore-not-found")


# Every object


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_server_takes_every_object_without_a_warning(kubernetes: ApiServer, example: Path) -> None:
    made = render("--values", example)
    answers = kubernetes.apply(
        yaml.safe_dump_all(made), "--server-side", "--dry-run=server", "--warnings-as-errors", "--validate=strict"
    )
    assert answers.count("(server dry run)") == len(made)


def test_server_refuses_an_operator_that_is_less_restricted(kubernetes: ApiServer) -> None:
    """So that the test above can fail."""
    text = yaml.safe_dump_all(render()).replace("runAsNonRoot: true", "runAsNonRoot: false")
    said = kubernetes.refusal(text, "--server-side", "--dry-run=server", "--warnings-as-errors")
    assert "runAsNonRoot" in said


# Rights


def test_rights_in_the_whole_cluster_are_what_the_operator_needs_and_no_more(
    kubernetes: ApiServer, installed: Callable[..., str]
) -> None:
    installed()
    for namespace in (*_WATCHED, _EVERYBODY):
        assert _held(kubernetes, namespace) == needs()


def test_rights_with_namespaces_end_at_these(kubernetes: ApiServer, installed: Callable[..., str]) -> None:
    installed("--set", f"watch.namespaces={{{','.join(_WATCHED)}}}")
    for namespace in _WATCHED:
        assert _held(kubernetes, namespace) == needs()
    for namespace in (_EVERYBODY, NAMESPACE, "kube-system"):
        assert _held(kubernetes, namespace) == set()


@pytest.mark.parametrize(
    ("options", "resource", "elsewhere"),
    [
        ((), "clusterkopfpeerings", True),
        (("--set", f"watch.namespaces={{{','.join(_WATCHED)}}}"), "kopfpeerings", False),
    ],
)
def test_replicas_may_write_their_own_peering_alone(
    kubernetes: ApiServer, installed: Callable[..., str], options: tuple[str, ...], resource: str, elsewhere: bool
) -> None:
    assert _held(kubernetes, _WATCHED[0]) == set()
    installed("--set", "replicas=2", *options)
    own = f"{NAMESPACE}-exchange-operator"
    peering = rights("kopf.dev", resource, ["list", "watch"]) | rights("kopf.dev", resource, ["get", "patch"], own)
    for namespace, expected in ((_WATCHED[0], peering), (_EVERYBODY, peering if elsewhere else set())):
        assert {right for right in _held(kubernetes, namespace) if right.group == "kopf.dev"} == expected
    everywhere = () if elsewhere else ("-n", _WATCHED[0])
    assert kubernetes.get(resource, own, *everywhere)["metadata"]["name"] == own


def test_operator_may_not_do_what_it_need_not(kubernetes: ApiServer, installed: Callable[..., str]) -> None:
    installed()
    for what in (
        ("list", "secrets"),
        ("patch", "secrets"),
        ("create", "pods"),
        ("create", "pods", "--subresource=exec"),
        ("get", "pods", "--subresource=log"),
        ("create", "serviceaccounts", "--subresource=token"),
        ("create", "roles.rbac.authorization.k8s.io"),
        ("create", "exchanges.trading.exchange"),
        ("delete", "exchanges.trading.exchange"),
        ("deletecollection", "persistentvolumeclaims"),
        ("delete", "namespaces"),
        ("list", "nodes"),
        ("list", "namespaces"),
        ("list", "customresourcedefinitions.apiextensions.k8s.io"),
    ):
        assert not _can(kubernetes, _WATCHED[0], *what), what


def test_operator_of_a_namespace_reads_no_secret_of_another(
    kubernetes: ApiServer, installed: Callable[..., str]
) -> None:
    installed("--set", f"watch.namespaces={{{_WATCHED[0]}}}")
    assert _can(kubernetes, _WATCHED[0], "get", "secrets/demo-keys")
    for namespace in (_WATCHED[1], _EVERYBODY, NAMESPACE, "kube-system"):
        assert not _can(kubernetes, namespace, "get", "secrets/demo-keys")


def _operator(name: str = "exchange-operator") -> str:
    return f"system:serviceaccount:{NAMESPACE}:{name}"


def _can(kubernetes: ApiServer, namespace: str, *what: str) -> bool:
    """What `kubectl auth can-i` says of the operator."""
    asked = ("auth", "can-i", *what, "-n", namespace, f"--as={_operator()}")
    command = [tools.kubernetes("kubectl"), f"--kubeconfig={kubernetes.kubeconfig}", *asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() in {"yes", "no"}, done.stderr
    return done.stdout.strip() == "yes"


def _held(kubernetes: ApiServer, namespace: str) -> set[Right]:
    """All that the operator may do in a namespace, beyond what every account may."""
    return _rules(kubernetes, namespace, _operator()) - _rules(kubernetes, namespace, _operator("nobody"))


def _rules(kubernetes: ApiServer, namespace: str, who: str) -> set[Right]:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    said = kubernetes.kubectl(
        "create", "-f", "-", "-o", "json", "--validate=false", f"--as={who}", stdin=json.dumps(review)
    )
    found: set[Right] = set()
    for rule in json.loads(said)["status"]["resourceRules"]:
        for group, resource in itertools.product(rule["apiGroups"], rule["resources"]):
            for name in rule.get("resourceNames", [""]):
                found |= rights(group, resource, rule["verbs"], name)
    return found


# Install, upgrade, test, uninstall


def test_install_says_what_to_do_next(installed: Callable[..., str]) -> None:
    said = installed()
    assert "looks after Exchanges in all namespaces" in said
    for command in (
        f"kubectl -n {NAMESPACE} rollout status deployment/exchange-operator",
        "kubectl apply -f k8s/exchange-minimal.yaml",
        "kubectl get exch -A -w",
        "--set test.exchange.name=demo,test.exchange.namespace=default",
        f"helm test -n {NAMESPACE} {RELEASE}",
    ):
        assert command in said


def test_install_with_namespaces_and_an_exchange_says_so(installed: Callable[..., str]) -> None:
    said = installed(
        "--set", "watch.namespaces={trading,staging},test.exchange.name=spot,test.exchange.namespace=trading"
    )
    assert "looks after Exchanges in trading, staging" in said
    assert "kubectl apply -n trading -f k8s/exchange-minimal.yaml" in said
    assert "two new users trade on trading/spot" in said


def test_upgrade_to_two_replicas_and_back_keeps_the_kind_and_every_exchange(
    kubernetes: ApiServer, installed: Callable[..., str]
) -> None:
    installed()
    uid = kubernetes.get("crd", "exchanges.trading.exchange")["metadata"]["uid"]
    for replicas in (2, 1):
        kubernetes.helm("upgrade", RELEASE, str(CHART), "-n", NAMESPACE, "--set", f"replicas={replicas}")
        assert kubernetes.get("deployment", "exchange-operator", "-n", NAMESPACE)["spec"]["replicas"] == replicas
        assert len(kubernetes.get("clusterkopfpeerings")["items"]) == replicas - 1
    kubernetes.helm("uninstall", RELEASE, "-n", NAMESPACE)
    assert kubernetes.get("crd", "exchanges.trading.exchange")["metadata"]["uid"] == uid
    assert kubernetes.get("deployments,services,serviceaccounts", "-n", NAMESPACE)["items"] == []


def test_second_release_takes_the_kind_over_and_leaves_it_to_the_first(
    kubernetes: ApiServer, installed: Callable[..., str]
) -> None:
    installed("--set", f"watch.namespaces={{{_WATCHED[0]}}}")
    second = ("other", str(CHART), "-n", _WATCHED[1])
    with pytest.raises(AssertionError, match="invalid ownership metadata"):
        kubernetes.helm("install", *second, "--set", f"watch.namespaces={{{_WATCHED[1]}}}")
    kubernetes.helm("install", *second, "--set", f"watch.namespaces={{{_WATCHED[1]}}}", "--take-ownership")
    kubernetes.helm("upgrade", RELEASE, str(CHART), "-n", NAMESPACE, "--reuse-values")
    kubernetes.helm("uninstall", "other", "-n", _WATCHED[1])
    assert kubernetes.get("crd", "exchanges.trading.exchange")["spec"]["names"]["kind"] == "Exchange"
    assert kubernetes.get("deployment", "exchange-operator", "-n", NAMESPACE)["spec"]["replicas"] == 1


@pytest.mark.parametrize(("phase", "status"), [("Succeeded", 0), ("Failed", 1)])
def test_helm_test_is_what_the_pod_in_the_exchanges_namespace_says(
    kubernetes: ApiServer, installed: Callable[..., str], phase: str, status: int
) -> None:
    """No kubelet is here to run the pod; this test says how it ended."""
    installed("--set", f"test.exchange.name=demo,test.exchange.namespace={_WATCHED[0]}")
    command = [tools.helm(), f"--kubeconfig={kubernetes.kubeconfig}", "test", "-n", NAMESPACE, RELEASE]
    helm = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pod = ("pod", "exchange-operator-smoke", "-n", _WATCHED[0])
    try:
        kubernetes.until(lambda: kubernetes.kubectl("get", *pod, "--ignore-not-found") != "", "helm made the pod")
        ended = json.dumps({"status": {"phase": phase}})
        kubernetes.kubectl("patch", *pod, "--subresource=status", "--type=merge", "-p", ended)
        said, _ = helm.communicate(timeout=60)
    finally:
        helm.kill()
        kubernetes.kubectl("delete", *pod, "--force", "--ignore-not-found")
    assert helm.returncode == status, said
    assert f"Phase:          {phase}" in said
