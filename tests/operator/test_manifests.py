"""What the operator makes of an exchange: the golden files, and what must hold of every object."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from exchange_operator.manifests import Capabilities, desired
from exchange_operator.manifests.jobs import delete_topics, drop_schema
from exchange_operator.manifests.quantities import amount
from exchange_operator.names import APPLIED, key_of, labels, selector
from exchange_operator.resource import Exchange
from typer.testing import CliRunner

from services.cli import app
from tests.operator.golden.files import FOLDER, text
from tests.operator.manifest_examples import (
    ALL,
    NAMES,
    WORKLOADS,
    components,
    container,
    everything,
    example,
    exchange_of,
    manifests,
    merged,
    of,
    smallest,
    templates,
)

LONGEST = "a" + 30 * "-" + "z"
"""The CRD allows 32 characters."""
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_REVISION_HASH = 11
"""Characters of a StatefulSet's revision behind its name, in a label of its pods."""


EXCHANGES = [*(pytest.param(example(name), id=name) for name in NAMES), pytest.param(everything(), id="everything")]


@pytest.mark.parametrize("name", NAMES)
def test_desired_examples_are_the_golden_files(name: str) -> None:
    wanted = (FOLDER / f"{name}.yaml").read_text()
    assert text(name) == wanted, "if that is meant: python -m tests.operator.golden, and look at what differs"


def test_desired_in_another_process_is_the_same() -> None:
    program = "from tests.operator.golden.files import text; print(text('production'), end='')"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join([".", "operator"])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == text("production")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_objects_have_keys_of_their_own_labels_owner_and_fingerprint(exchange: Exchange) -> None:
    made = manifests(desired(exchange, ALL))
    assert len({key_of(one) for one in made}) == len(made)
    for one in made:
        metadata = one["metadata"]
        component = metadata["labels"]["app.kubernetes.io/component"]
        assert metadata["labels"] == labels(exchange, component)
        assert metadata["namespace"] == exchange.namespace
        assert [owner["uid"] for owner in metadata["ownerReferences"]] == [exchange.uid]
        assert re.fullmatch("[0-9a-f]{10}", metadata["annotations"][APPLIED])


@pytest.mark.parametrize("exchange", [everything(LONGEST), example("minimal")])
def test_names_of_the_longest_exchange_fit(exchange: Exchange) -> None:
    made = [*manifests(desired(exchange, ALL)), *delete_topics(exchange), *drop_schema(exchange)]
    for one in made:
        name, kind = one["metadata"]["name"], one["kind"]
        most = {"CronJob": 52, "StatefulSet": 63 - _REVISION_HASH, "ConfigMap": 253}.get(kind, 63)
        assert len(name) <= most, (kind, name)
        if kind == "StatefulSet":
            assert len(f"{name}-{one['spec']['replicas']}") <= 63
        assert all(_LABEL.fullmatch(value) for value in one["metadata"]["labels"].values())
        if kind == "Service":
            assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_selectors_find_their_own_pods_and_no_others(exchange: Exchange) -> None:
    by_workload = templates(exchange)
    for one in manifests(desired(exchange, ALL)):
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        wanted = one["spec"]["selector"]["matchLabels"]
        assert wanted == selector(exchange, one["metadata"]["labels"]["app.kubernetes.io/component"])
        own = f"{one['kind']}/{one['metadata']['name']}"
        found = [name for name, pod in by_workload.items() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert found == [own]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_pods_are_restricted_and_have_requests_and_limits(exchange: Exchange) -> None:
    for name, template in templates(exchange).items():
        pod, one = template["spec"], container(template)
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["automountServiceAccountToken"] is False
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {
            "configMap",
            "emptyDir",
            "projected",
        }
        asked = one["resources"]
        assert set(asked["requests"]) == {"cpu", "memory"}
        assert amount(asked["requests"]["memory"]) <= amount(asked["limits"]["memory"])


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_references_lead_to_something(exchange: Exchange) -> None:
    made = of(exchange)
    ours = {name for _, name in made}
    given = {"demo-keys", "main-keys", "wide-keys", "i", "store"}
    given |= {"redpanda-login", "redpanda-ca", "scylla-login", "scylla-ca", "backup-store", "login-issuer"}
    for template in templates(exchange).values():
        pod = template["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
        mounted = {mount["name"] for mount in container(template)["volumeMounts"]}
        claims = {"data"} & mounted
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claims
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            for source in volume.get("projected", {}).get("sources", []):
                assert source["secret"]["name"] in given
    for (kind, _), one in made.items():
        if kind == "StatefulSet":
            assert ("Service", one["spec"]["serviceName"]) in made
        if kind == "Ingress":
            (rule,) = one["spec"]["rules"]
            assert rule["http"]["paths"][0]["backend"]["service"]["name"] in ours


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_services_lead_to_ports_of_pods(exchange: Exchange) -> None:
    pods = list(templates(exchange).values())
    for (kind, name), one in of(exchange).items():
        if kind != "Service":
            continue
        wanted = dict(one["spec"]["selector"])
        wanted.pop("statefulset.kubernetes.io/pod-name", None)
        (pod,) = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        numbers = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
        assert [numbers[port["targetPort"]] for port in one["spec"]["ports"]] == [
            port["port"] for port in one["spec"]["ports"]
        ], name


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_containers_run_commands_that_there_are(exchange: Exchange) -> None:
    """With --help a command checks its options and does nothing."""
    jobs = [job["spec"]["template"] for _, job in (delete_topics(exchange), drop_schema(exchange))]
    for template in [*components(exchange).values(), *jobs]:
        arguments = container(template)["args"]
        done = CliRunner().invoke(app, [*arguments, "--help"])
        assert done.exit_code == 0, (arguments, done.output)
        assert "Usage:" in done.output


def test_stages_of_a_first_start_are_in_order() -> None:
    names = [stage.name for stage in desired(everything(), ALL).stages]
    assert names == [
        *("broker", "database", "topics", "schema", "ubscore-standby", "ubscore", "matcher-standby", "matcher"),
        *("settlement", "order-history", "gateway"),
    ]
    external = [stage.name for stage in desired(example("production", ubscore={}, matcher={}), ALL).stages]
    assert external == ["topics", "schema", "ubscore", "matcher", "settlement", "order-history", "gateway"]


def test_service_monitor_is_made_where_it_is_known_and_wanted() -> None:
    def kinds(exchange: Exchange, known: bool) -> set[str]:
        return {one["kind"] for one in manifests(desired(exchange, Capabilities(service_monitor=known)))}

    assert "ServiceMonitor" in kinds(example("minimal"), True)
    assert "ServiceMonitor" not in kinds(example("minimal"), False)
    assert "ServiceMonitor" not in kinds(example("minimal", observability={"serviceMonitor": False}), True)


def test_gateways_with_autoscaling_leave_their_number_to_it() -> None:
    made = of(everything())
    assert "replicas" not in made["Deployment", "demo-gateway"]["spec"]
    assert made["HorizontalPodAutoscaler", "demo-gateway"]["spec"]["maxReplicas"] == 5


def test_standby_and_core_are_never_emptied_together() -> None:
    budget = of(everything())["PodDisruptionBudget", "demo-ubscore"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchExpressions"][0]["values"] == ["ubscore", "ubscore-standby"]


def test_volumes_are_kept_whatever_happens_to_the_stateful_set() -> None:
    made = [one for (kind, _), one in of(everything()).items() if kind == "StatefulSet"]
    with_volumes = [one["spec"] for one in made if "volumeClaimTemplates" in one["spec"]]
    assert len(with_volumes) == 6
    for spec in with_volumes:
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["metadata"]["labels"] == spec["template"]["metadata"]["labels"]


def test_managed_memory_is_less_than_the_container_has() -> None:
    asked = {"managed": {"resources": {"limits": {"memory": "3Gi"}}}}
    made = templates(exchange_of(merged(smallest(), {"redpanda": asked, "scylla": asked})))
    for name in ("StatefulSet/demo-redpanda", "StatefulSet/demo-scylla"):
        one = container(made[name])
        assert "--memory=2048M" in one["args"]
        assert one["resources"]["limits"]["memory"] == "3Gi"


def test_managed_nodes_alone_and_together_know_with_whom_to_begin() -> None:
    alone = templates(exchange_of(smallest()))
    together = templates(everything())
    redpanda, scylla = "StatefulSet/demo-redpanda", "StatefulSet/demo-scylla"
    assert not [one for one in container(alone[redpanda])["args"] if one.startswith("--seeds")]
    assert "--seed-provider-parameters=seeds=$(POD_IP)" in container(alone[scylla])["args"]
    hosts = [f"demo-redpanda-{index}.demo-redpanda.trading.svc:33145" for index in range(3)]
    assert f"--seeds={','.join(hosts)}" in container(together[redpanda])["args"]
    first = "demo-scylla-0.demo-scylla.trading.svc"
    assert f"--seed-provider-parameters=seeds={first}" in container(together[scylla])["args"]


@pytest.mark.parametrize("one", [delete_topics, drop_schema])
def test_deletion_jobs_bring_their_settings_and_give_up_in_time(one: Any) -> None:
    exchange = example("minimal")
    config_map, job = one(exchange)
    made = of(exchange)
    assert made["ConfigMap", config_map["metadata"]["name"]] == config_map
    assert APPLIED in job["metadata"]["annotations"]
    assert ("Job", job["metadata"]["name"]) not in made
    mounted = [volume["configMap"]["name"] for volume in job["spec"]["template"]["spec"]["volumes"][:1]]
    assert mounted == [config_map["metadata"]["name"]]
    assert job["spec"]["activeDeadlineSeconds"] == 120


def test_workloads_are_those_that_this_file_looks_at() -> None:
    kinds = {one["kind"] for one in manifests(desired(everything(), ALL)) if "template" in str(one.get("spec", ""))}
    assert kinds == set(WORKLOADS)
