"""The operator's process: what it says when it cannot start, and how it ends."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.operator.audited_server import AuditedServer
from tests.operator.control_plane import until
from tests.operator.exchanges import CRD, know_exchanges, new_namespace
from tests.operator.operator_process import OperatorProcess
from tests.support.processes import ROOT, run

_PEERINGS: Final = ROOT / "charts" / "exchange-operator" / "crds" / "kopfpeerings.yaml"
_WRONG_USE: Final = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    server = AuditedServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        server.kubectl("apply", "-f", str(_PEERINGS))
        server.kubectl("wait", "crd/kopfpeerings.kopf.dev", "--for=condition=Established")
        yield server
    finally:
        server.end()


def _refused(server: AuditedServer, *arguments: str, **more: str) -> str:
    done = run("operator", "--metrics-port=0", *arguments, KUBECONFIG=str(server.kubeconfig), **more)
    assert done.returncode == _WRONG_USE, done.stderr
    return done.stderr


def test_operator_without_a_cluster_says_how_to_name_one(tmp_path: Path) -> None:
    done = run("operator", "--metrics-port=0", KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == _WRONG_USE
    assert done.stderr.startswith("exchange: no Kubernetes cluster: run in a pod with a ServiceAccount, or let KUBEC")


@pytest.mark.parametrize("text", ["a: [", "- a", "a"])
def test_operator_with_a_file_that_is_no_kubeconfig_is_told_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes").write_text(text)
    done = run("operator", "--metrics-port=0", KUBECONFIG=str(tmp_path / "notes"))
    assert done.returncode == _WRONG_USE, done.stderr
    assert done.stderr.startswith("exchange: no Kubernetes cluster: ")


def test_operator_of_a_cluster_that_does_not_know_exchanges_says_what_to_install(server: AuditedServer) -> None:
    server.kubectl("delete", "-f", str(CRD), "--ignore-not-found")
    assert "does not know exchanges.trading.exchange: install the chart with its CRD" in _refused(server)


def test_operator_without_its_peering_object_says_what_to_make(server: AuditedServer) -> None:
    know_exchanges(server)
    namespace = new_namespace(server)
    assert "there is no ClusterKopfPeering operators: make one" in _refused(server, "--peering=operators")
    refusal = _refused(server, PEERING="operators", WATCH_NAMESPACES=namespace)
    assert f"there is no KopfPeering operators in namespace {namespace}: make one" in refusal


def test_operator_of_some_and_of_all_namespaces_is_refused(server: AuditedServer) -> None:
    assert "give one of them" in _refused(server, "--namespace=default", "--all-namespaces")


def test_operator_answers_and_ends_in_order_and_logs_json(server: AuditedServer, tmp_path: Path) -> None:
    know_exchanges(server)
    namespace = new_namespace(server)
    operator = OperatorProcess(tmp_path, server.kubeconfig, "--standalone", WATCH_NAMESPACES=f"default,{namespace}")
    try:
        operator.start()
        assert httpx.get(f"{operator.url}/healthz").text == "ok\n"
        assert operator.metric("last_success_timestamp_seconds") == 0
        until(lambda: any(line["event"] == "starting" for line in operator.log()), "it starts")

        def watched() -> set[str]:
            uris = (request.uri for request in server.requests("admin") if "watch=true" in request.uri)
            return {uri.split("/")[5] for uri in uris if "/namespaces/" in uri and "/exchanges?" in uri}

        until(lambda: watched() == {"default", namespace}, "it watches both namespaces")
        assert not [one.uri for one in server.requests("admin") if "/v1alpha1/exchanges?" in one.uri]
        operator.stop()
        assert operator.process.returncode == os.EX_OK
    finally:
        operator.end()
    (starting,) = (line for line in operator.log() if line["event"] == "starting")
    assert (starting["service"], starting["namespaces"], starting["peering"]) == (
        "operator",
        ["default", namespace],
        "none",
    )
    assert [line["event"] for line in operator.log()][-1] == "stopped"
