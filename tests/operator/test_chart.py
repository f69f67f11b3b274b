"""What the chart makes of its values, and which values it refuses. What a cluster says: `test_chart_on_api_server`."""

import copy
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.operator.chart import (
    CHART,
    EXAMPLES,
    NAMESPACE,
    Manifest,
    helm,
    kinds,
    named,
    refusal,
    render,
    render_text,
)
from tests.support.processes import ROOT, run

Tree = dict[str, Any]
Path_ = tuple[str, ...]

_PREFIX: Final = "app.kubernetes.io"
_LABELS: Final = {f"{_PREFIX}/{name}" for name in ("name", "instance", "version", "component", "part-of", "managed-by")}
_VALUES: Final[Tree] = yaml.safe_load((CHART / "values.yaml").read_text())
_SCHEMA: Final[Tree] = json.loads((CHART / "values.schema.json").read_text())
_CHART: Final[Tree] = yaml.safe_load((CHART / "Chart.yaml").read_text())
_AS_A_POD_HAS_THEM: Final = {("resources",), ("affinity",)}
"""Values that are handed on as a whole."""
_FREE: Final = {("global",), *(("affinity", name) for name in ("nodeAffinity", "podAffinity", "podAntiAffinity"))}
"""Values whose inside the chart does not know."""
_DASHBOARD: Final = '{"title": "Overview", "panels": [{"expr": "sum({{ x }})"}]}'


def names_in(schema: Tree, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value that a schema knows."""
    if "properties" not in schema or path in _AS_A_POD_HAS_THEM:
        yield path
        return
    for name, inner in schema["properties"].items():
        yield from names_in(inner, (*path, name))


def leaves(values: Tree, path: Path_ = ()) -> dict[Path_, Any]:
    """Every value with its path."""
    found: dict[Path_, Any] = {}
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, dict) and value and here not in _AS_A_POD_HAS_THEM and _schema(here).get("properties"):
            found |= leaves(value, here)
        else:
            found[here] = value
    return found


def _schema(path: Path_) -> Tree:
    schema = _SCHEMA
    for name in path:
        schema = schema["properties"][name]
    return schema


def schemas(schema: Tree, path: Path_ = ()) -> Iterator[tuple[Path_, Tree]]:
    """A schema and all within it."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, (*path, name))
    if "items" in schema:
        yield from schemas(schema["items"], (*path, "[]"))


@pytest.fixture(scope="module")
def with_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with one dashboard, and none of its own."""
    chart = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("dashboards"))
    (chart / "dashboards").mkdir()
    (chart / "dashboards" / "overview.json").write_text(_DASHBOARD)
    return chart


# Values


def test_lint_finds_nothing_with_any_example() -> None:
    for example in EXAMPLES:
        done = helm("lint", "--strict", CHART, "--values", example)
        assert done.returncode == 0, done.stdout + done.stderr


def test_schema_and_values_name_the_same() -> None:
    assert set(names_in(_SCHEMA)) - {("global",)} == set(leaves(_VALUES))


def test_schema_is_strict_and_says_what_each_value_is() -> None:
    for path, schema in schemas(_SCHEMA):
        if schema["type"] == "object" and path not in _FREE:
            allowed = schema["additionalProperties"]
            assert allowed is False if "properties" in schema else allowed["type"] == "string", path
        if path and path[-1] != "[]":
            assert schema["description"].endswith("."), path


def test_every_value_changes_what_is_made(with_dashboard: Path, tmp_path: Path) -> None:
    defaults, tried = leaves(_VALUES), set()
    for example in EXAMPLES:
        values = yaml.safe_load(example.read_text())
        whole = render_text("--values", example, chart=with_dashboard)
        for path, value in leaves(values).items():
            if value == defaults[path]:
                continue
            rest = tmp_path / "values.yaml"
            rest.write_text(yaml.safe_dump(_without(values, path)))
            assert render_text("--values", rest, chart=with_dashboard) != whole, (example.name, path)
            tried.add(path)
    assert tried == set(defaults), "no example sets these"


def _without(values: Tree, path: Path_) -> Tree:
    values = copy.deepcopy(values)
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return values


@pytest.mark.parametrize(
    ("wrong", "where", "why"),
    [
        ("replicas=0", "/replicas", "want 1"),
        ("replicas=two", "/replicas", "want integer"),
        ("replica=2", "''", "'replica' not allowed"),
        ("image.tag=1", "/image/tag", "want string"),
        ("image.repository=UPPER", "/image/repository", "pattern"),
        ("image.pullPolicy=always", "/image/pullPolicy", "'IfNotPresent'"),
        ("image.name=other", "/image", "'name' not allowed"),
        ("watch.namespaces=trading", "/watch/namespaces", "want array"),
        ("watch.namespaces={Trading}", "/watch/namespaces/0", "pattern"),
        ("watch.namespaces={a,a}", "/watch/namespaces", "are equal"),
        ("log.level=trace", "/log/level", "'warning'"),
        ("rbac.create=yes", "/rbac/create", "want boolean"),
        ("rbac.creat=true", "/rbac", "'creat' not allowed"),
        ("podLabels.team=5", "/podLabels/team", "want string"),
        ("resources.requests.cpus=3", "/resources/requests", "'cpus' not allowed"),
        ("resources.limits.memory=lots", "/resources/limits/memory", "pattern"),
        ("tolerations[0].effect=Never", "/tolerations/0/effect", "'NoExecute'"),
        ("affinity.pods=near", "/affinity", "'pods' not allowed"),
        ("metrics.serviceMonitor.interval=30", "/metrics/serviceMonitor/interval", "want string"),
        ("prometheusRule.runbooks=", "/prometheusRule/runbooks", "minLength"),
        ("test.exchange.price=1", "/test/exchange/price", "want string"),
        ("test.exchange.nme=demo", "/test/exchange", "'nme' not allowed"),
    ],
)
def test_wrong_value_is_refused_with_its_place_and_why(wrong: str, where: str, why: str) -> None:
    said = refusal("--set", wrong)
    assert where in said
    assert why in said


def test_required_values_cannot_be_taken_away() -> None:
    assert "missing property 'replicas'" in refusal("--set", "replicas=null")


def test_chart_is_of_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert _CHART["version"] == _CHART["appVersion"] == project["version"]


# What is made


def test_every_object_has_the_labels(with_dashboard: Path) -> None:
    for example in EXAMPLES:
        for one in render("--values", example, chart=with_dashboard):
            # The Exchange kind is not of one release, but of the cluster.
            if one["kind"] != "CustomResourceDefinition":
                assert set(one["metadata"]["labels"]) >= _LABELS, (example.name, one["kind"])


def test_exchange_kind_is_made_and_outlives_the_release() -> None:
    crd = named(render(), "CustomResourceDefinition")
    assert crd["metadata"]["name"] == "exchanges.trading.exchange"
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_one_replica_is_stopped_before_the_next_starts_and_has_no_peers() -> None:
    made = render()
    deployment = named(made, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert _arguments(made) == ["operator", "--all-namespaces", "--metrics-port=8080", "--log-level=info"]
    assert not any("Peering" in kind for kind in kinds(made))


def test_two_replicas_agree_through_an_object_of_the_cluster() -> None:
    made = render("--set", "replicas=2")
    peering = named(made, "ClusterKopfPeering")["metadata"]["name"]
    assert f"--peering={peering}" in _arguments(made)
    assert _peering_rules(named(made, "ClusterRole"), "clusterkopfpeerings") == [None, [peering]]
    assert named(made, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_two_replicas_with_namespaces_agree_in_each() -> None:
    made = render("--set", "replicas=2,watch.namespaces={a,b}")
    for namespace in ("a", "b"):
        peering = named(made, "KopfPeering", namespace)["metadata"]["name"]
        assert f"--peering={peering}" in _arguments(made)
        assert _peering_rules(named(made, "Role", namespace), "kopfpeerings") == [None, [peering]]
    assert "ClusterKopfPeering" not in kinds(made)


def test_namespaces_are_handed_to_the_operator_with_rights_in_these_alone() -> None:
    made = render("--set", "watch.namespaces={a,b}")
    assert _arguments(made)[1:3] == ["--namespace=a", "--namespace=b"]
    assert "--all-namespaces" not in _arguments(made)
    roles = [one["metadata"]["namespace"] for one in made if one["kind"] == "Role"]
    assert roles == ["a", "b"]
    assert [one["metadata"]["namespace"] for one in made if one["kind"] == "RoleBinding"] == roles
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(made)


def test_every_binding_is_for_the_account_that_the_pod_has() -> None:
    made = render("--set", "watch.namespaces={a,b},serviceAccount.name=somebody")
    subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": NAMESPACE}
    assert [one["subjects"] for one in made if one["kind"].endswith("Binding")] == [[subject]] * 2
    assert named(made, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "somebody"
    assert named(made, "ServiceAccount")["metadata"]["name"] == "somebody"


def test_what_selects_pods_finds_the_operator_and_nothing_that_a_test_runs() -> None:
    made = render("--set", "metrics.serviceMonitor.enabled=true")
    operator = named(made, "Deployment")["spec"]["template"]["metadata"]["labels"]
    smoke = named(made, "Pod")["metadata"]["labels"]
    service = named(made, "Service")
    for selector in (named(made, "Deployment")["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= operator.items()
        assert not selector.items() <= smoke.items()
    monitor = named(made, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]


def test_a_new_version_of_the_operator_keeps_the_selectors(tmp_path: Path) -> None:
    newer = tmp_path / CHART.name
    shutil.copytree(CHART, newer)
    (newer / "Chart.yaml").write_text(yaml.safe_dump(_CHART | {"version": "9.9.9", "appVersion": "9.9.9"}))
    before, after = render(), render(chart=newer)
    assert named(before, "Deployment")["spec"]["selector"] == named(after, "Deployment")["spec"]["selector"]
    assert named(after, "Deployment")["metadata"]["labels"][f"{_PREFIX}/version"] == "9.9.9"
    assert _container(after)["image"] == "exchange-platform:9.9.9"


def test_probes_ask_the_port_of_the_metrics() -> None:
    container = _container(render())
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}


@pytest.mark.parametrize(
    ("release", "options", "name"),
    [
        ("exchange", (), "exchange-operator"),
        ("exchange-operator", (), "exchange-operator"),
        ("our-exchange-operator", (), "our-exchange-operator"),
        ("shop", (), "shop-exchange-operator"),
        ("shop", ("--set", "fullnameOverride=boss"), "boss"),
        ("shop", ("--set", "nameOverride=boss"), "shop-boss"),
    ],
)
def test_objects_are_named_by_the_release_and_the_chart(release: str, options: tuple[str, ...], name: str) -> None:
    done = helm("template", release, CHART, "--namespace", NAMESPACE, *options)
    made = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert named(made, "Deployment")["metadata"]["name"] == name
    assert named(made, "ClusterRole")["metadata"]["name"] == f"{NAMESPACE}-{name}"


def test_dashboards_become_config_maps_that_grafana_finds(with_dashboard: Path) -> None:
    options = ("dashboards.namespace=grafana", "dashboards.labels.team=trading", "dashboards.annotations.folder=Spot")
    found = named(render("--set", ",".join(options), chart=with_dashboard), "ConfigMap", "grafana")
    assert found["metadata"]["name"] == "exchange-operator-dashboard-overview"
    assert found["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "team": "trading"}.items()
    assert found["metadata"]["annotations"] == {"folder": "Spot"}
    assert found["data"] == {"overview.json": _DASHBOARD}
    assert "ConfigMap" not in kinds(render("--set", "dashboards.enabled=false", chart=with_dashboard))


# helm test


def test_smoke_test_runs_where_the_exchange_is_with_its_first_key_alone() -> None:
    made = render("--set", "test.exchange.name=demo,test.exchange.namespace=shop")
    pod = named(made, "Pod", "shop")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"] == [
        "smoke",
        "--url=http://demo-gateway.shop.svc:3001",
        "--credentials=/keys/credentials.json",
        "--symbol=BTC_USDT",
    ]
    (keys,) = (volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume)
    assert keys == {"secretName": "demo-keys", "items": [{"key": "credentials.json", "path": "credentials.json"}]}


def test_smoke_test_is_given_what_the_program_takes() -> None:
    exchange = "test.exchange.name=demo,test.exchange.symbol=ETH_USDT"
    pod = named(render("--set", exchange, "--set-string", "test.exchange.price=3000.5"), "Pod")
    arguments = pod["spec"]["containers"][0]["args"]
    assert arguments[-2:] == ["--symbol=ETH_USDT", "--price=3000.5"]
    done = run(*arguments, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_operator_is_given_what_the_program_takes() -> None:
    done = run(*_arguments(render("--set", "replicas=2,watch.namespaces={a,b}")), "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_smoke_test_of_no_exchange_fails_and_says_how_to_name_one() -> None:
    pod = named(render(), "Pod", NAMESPACE)
    assert pod["metadata"]["name"] == "exchange-operator-no-exchange-named"
    (container,) = pod["spec"]["containers"]
    assert container["command"][-1].endswith("exit 1")
    (message,) = container["env"]
    assert "--set test.exchange.name=NAME,test.exchange.namespace=NAMESPACE" in message["value"]
    assert not any("secret" in volume for volume in pod["spec"]["volumes"])


def _container(manifests: list[Manifest]) -> Manifest:
    (found,) = named(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def _arguments(manifests: list[Manifest]) -> list[str]:
    return list(_container(manifests)["args"])


def _peering_rules(role: Manifest, resource: str) -> list[Any]:
    return [rule.get("resourceNames") for rule in role["rules"] if rule["resources"] == [resource]]
