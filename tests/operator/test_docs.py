"""What docs/ tells people to do: links lead somewhere, a cluster takes the resources, and Jobs are what they say."""

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from exchange_operator.manifests import Capabilities, desired
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange, parse

from tests.cluster import tools
from tests.cluster.api_server import ApiServer
from tests.operator.chart import render
from tests.operator.exchanges import know_exchanges, minimal
from tests.support.processes import ROOT, run

DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(DOCS.rglob("*.md"))
_JOBS: Final = DOCS / "operations" / "jobs.sh"
_NAMESPACE: Final = "docs"
_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND: Final = re.compile(r"^(?:exchange_job \S+|core_job \S+ \S+ \d+) (.+?)(?:  +#.*)?$", re.MULTILINE)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of a page in that language, without their indentation."""
    for indentation, said, text in _FENCE.findall(page.read_text()):
        if said == language:
            yield "\n".join(line.removeprefix(indentation) for line in text.splitlines())


def anchors(page: Path) -> set[str]:
    """By what its headings can be linked to."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _merged(one: Any, other: Any) -> Any:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return one | {key: _merged(one.get(key), value) for key, value in other.items()}


def _with_backup() -> Exchange:
    backup = {"target": "s3://backups/demo", "credentialsSecretRef": {"name": "backup-store"}}
    standby = {"standby": True, "storage": "10Gi", "storageClassName": "fast"}
    body = minimal("demo", _NAMESPACE, backup=backup, ubscore=standby)
    body["metadata"] |= {"uid": "0", "generation": 1}
    return parse(body)


@pytest.fixture(scope="module")
def kubernetes(api_server: ApiServer) -> ApiServer:
    know_exchanges(api_server)
    api_server.kubectl("create", "namespace", _NAMESPACE)
    return api_server


# Pages


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_commands_are_what_a_shell_reads(page: Path) -> None:
    for block in blocks(page, ""):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_parts_of_an_exchange_are_taken_by_the_server(kubernetes: ApiServer, page: Path) -> None:
    for block in blocks(page, "yaml"):
        part = yaml.safe_load_all(block)
        first = next(part)
        if set(first) == {"spec"}:
            whole = _merged(minimal("demo", _NAMESPACE), first)
            if page.name == "backup-restore.md":
                whole["spec"].setdefault("backup", {}).setdefault("target", "s3://backups/demo")
            kubernetes.apply(yaml.safe_dump(whole), "--server-side", "--dry-run=server", "--validate=strict")


def test_values_of_the_installation_page_are_taken_by_the_chart(tmp_path: Path) -> None:
    (values,) = blocks(DOCS / "operations" / "install.md", "yaml")
    (tmp_path / "values.yaml").write_text(values)
    made = render("--values", tmp_path / "values.yaml")
    assert {"ServiceMonitor", "PrometheusRule", "KopfPeering"} <= {one["kind"] for one in made}


def test_commands_of_jobs_are_commands_of_the_program() -> None:
    found = {command for page in PAGES for block in blocks(page, "") for command in _COMMAND.findall(block)}
    assert len(found) > 5
    for command in found:
        done = run(*command.split(), "--help")
        assert (done.returncode, done.stderr) == (0, ""), command


# jobs.sh


def _bash(kubernetes: ApiServer, folder: Path, command: str) -> None:
    """Run a command of jobs.sh, which does not wait for pods: nobody is here to run any."""
    (folder / "kubectl").unlink(missing_ok=True)
    (folder / "kubectl").symlink_to(tools.kubernetes("kubectl"))
    script = f"set -euo pipefail; NAMESPACE={_NAMESPACE} EXCHANGE=demo; . {_JOBS}; _follow() {{ :; }}; {command}"
    paths = {"PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(kubernetes.kubeconfig)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=os.environ | paths
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cron_job(kubernetes: ApiServer) -> Manifest:
    """The CronJob of an Exchange with backups, on the server."""
    made = desired(_with_backup(), Capabilities()).foundation
    (found,) = (one for one in made if one["kind"] == "CronJob")
    del found["metadata"]["ownerReferences"]
    kubernetes.apply(yaml.safe_dump(found))
    return found


def _pod(kubernetes: ApiServer, job: str) -> dict[str, Any]:
    found: dict[str, Any] = kubernetes.get("job", job, "-n", _NAMESPACE)["spec"]["template"]
    return found


def test_job_is_the_backups_with_other_arguments(kubernetes: ApiServer, cron_job: Manifest, tmp_path: Path) -> None:
    _bash(kubernetes, tmp_path, "exchange_job demo-list backup list")
    template = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    wanted = template["spec"]["containers"][0] | {"args": ["backup", "list"]}
    made = _pod(kubernetes, "demo-list")
    assert made["metadata"]["labels"].items() >= template["metadata"]["labels"].items()
    assert made["spec"]["containers"][0].items() >= wanted.items()
    live = kubernetes.get("cronjob", "demo-backup", "-n", _NAMESPACE)["spec"]["jobTemplate"]["spec"]["template"]
    assert made["spec"]["volumes"] == live["spec"]["volumes"]


def test_job_of_a_core_has_its_volume_and_the_memory_that_is_given(
    kubernetes: ApiServer, cron_job: Manifest, tmp_path: Path
) -> None:
    restore = "backup restore --core ubscore-0 --data-dir /data"
    _bash(kubernetes, tmp_path, f"MEMORY=4Gi core_job demo-seed ubscore-standby 0 {restore}")
    (container,) = _pod(kubernetes, "demo-seed")["spec"]["containers"]
    assert container["args"] == restore.split()
    assert container["resources"]["limits"]["memory"] == "4Gi"
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-demo-ubscore-standby-0"}} in (
        _pod(kubernetes, "demo-seed")["spec"]["volumes"]
    )


def test_volume_is_the_one_that_the_cores_pod_will_look_for(kubernetes: ApiServer, tmp_path: Path) -> None:
    _bash(kubernetes, tmp_path, "core_volume ubscore-standby 0 10Gi fast; core_volume matcher 0 5Gi")
    stages = {stage.name: stage.manifests[0] for stage in desired(_with_backup(), Capabilities()).stages}
    for component in ("ubscore-standby", "matcher"):
        wanted = stages[component]
        (claim,) = wanted["spec"]["volumeClaimTemplates"]
        name = f"{claim['metadata']['name']}-{wanted['metadata']['name']}-0"
        made = kubernetes.get("pvc", name, "-n", _NAMESPACE)
        assert made["metadata"]["labels"] == claim["metadata"]["labels"]
        assert made["spec"].items() >= claim["spec"].items()


def test_keys_that_were_saved_are_brought_back_whatever_is_there(kubernetes: ApiServer, tmp_path: Path) -> None:
    files = {"secret.key": bytes(range(32)), "credentials.json": b'{"admin": {}}\n'}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "demo-keys", "namespace": _NAMESPACE}}
    kubernetes.apply(yaml.safe_dump(secret | {"data": data}))
    _bash(kubernetes, tmp_path, f"save_keys {tmp_path}/keys")
    for name, content in files.items():
        assert (tmp_path / "keys" / name).read_bytes() == content
        assert (tmp_path / "keys" / name).stat().st_mode & 0o077 == 0
    other = secret | {"data": {"secret.key": base64.b64encode(b"another").decode()}}
    for before in ("", yaml.safe_dump(other)):
        kubernetes.kubectl("delete", "secret", "demo-keys", "-n", _NAMESPACE)
        if before:
            kubernetes.apply(before)
        _bash(kubernetes, tmp_path, f"bring_keys {tmp_path}/keys")
        assert kubernetes.get("secret", "demo-keys", "-n", _NAMESPACE)["data"] == data
