"""The API server alone: it defaults, checks and refuses as that of any cluster, and keeps what it said it has."""

from pathlib import Path
from typing import Final

from tests.cluster.api_server import ApiServer

_POD: Final = """
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: default}
spec:
  containers: [{name: main, image: nothing}]
"""

_DEFINITION: Final = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shelves.exchange.test}
spec:
  group: exchange.test
  names: {kind: Shelf, plural: shelves}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                boards: {type: integer, minimum: 1, default: 3}
                books: {type: integer}
              x-kubernetes-validations:
                - rule: "self.books <= 10 * self.boards"
                  message: a board carries ten books
"""

_SHELF: Final = """
apiVersion: exchange.test/v1
kind: Shelf
metadata: {{name: full, namespace: default}}
spec: {{books: {books}}}
"""


def test_server_side_dry_run_gives_defaults_and_keeps_nothing(api_server: ApiServer) -> None:
    shown = api_server.apply(_POD, "--dry-run=server", "-o", "jsonpath={.spec.restartPolicy}")
    assert shown == "Always"
    assert api_server.get("pods")["items"] == []


def test_pod_that_may_more_than_restricted_is_refused_where_that_is_enforced(api_server: ApiServer) -> None:
    api_server.kubectl("create", "namespace", "restricted")
    api_server.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    refusal = api_server.refusal(_POD.replace("default", "restricted"), "--dry-run=server")
    assert 'violates PodSecurity "restricted:latest"' in refusal
    assert "runAsNonRoot" in refusal


def test_custom_resource_is_defaulted_and_its_rule_is_kept(api_server: ApiServer) -> None:
    api_server.apply(_DEFINITION)
    api_server.kubectl("wait", "crd/shelves.exchange.test", "--for=condition=Established")
    assert "a board carries ten books" in api_server.refusal(_SHELF.format(books=31))
    api_server.apply(_SHELF.format(books=30))
    assert api_server.get("shelf/full")["spec"] == {"boards": 3, "books": 30}


def test_what_was_accepted_is_there_after_both_were_killed(tmp_path: Path) -> None:
    server = ApiServer(tmp_path)
    try:
        server.start()
        server.kubectl("create", "configmap", "kept", "--from-literal=key=value")
        server.etcd.kill()
        server.server.kill()
        server.start()
        assert server.get("configmap/kept")["data"] == {"key": "value"}
    finally:
        server.end()
