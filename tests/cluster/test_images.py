"""The exchange's image, and the stand-ins for those that a managed broker and database are started from."""

import asyncio
import json
import re
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cassandra.cluster import Cluster as Cassandra
from packaging.requirements import Requirement

from tests.cluster.images import (
    REDPANDA,
    REPOSITORY,
    SCYLLA,
    crashing_image,
    exchange_image,
    project_version,
    redpanda_standin,
    scylla_standin,
    unpacked,
)
from tests.cluster.node import Cluster

pytestmark = pytest.mark.cluster

ROOT: Final = Path(__file__).resolve().parents[2]
STANDINS: Final = Path(__file__).with_name("standins")
NAMESPACE: Final = "images"
LARGEST_MB: Final = 300
WITHIN_SECONDS: Final = 180.0
USER: Final = 10_001
BUILDERS: Final = ("as", "c++", "cc", "g++", "gcc", "ld", "make", "pip", "pip3")
"""Programs that nobody needs who runs it."""
WRITABLE: Final = {"tmp", "data", "var/tmp", "run/lock"}

LOADS_EVERYTHING: Final = """
import ctypes, importlib, pathlib, pkgutil, site
import botocore.session
import exchange_operator, services

for package in (services, exchange_operator):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for library in pathlib.Path(site.getsitepackages()[0]).rglob("*.so*"):
    ctypes.CDLL(str(library))
for service in ("s3", "sts"):
    botocore.session.get_session().create_client(service, region_name="eu-test-1")
try:
    pathlib.Path("/opt/exchange/written").touch()
except OSError as error:
    print(error.strerror)
print("loaded")
"""

RESTRICTED: Final[dict[str, Any]] = {
    "automountServiceAccountToken": False,
    "terminationGracePeriodSeconds": 20,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
CONTAINED: Final[dict[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
OWN_ADDRESS: Final = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def pod_spec(container: dict[str, Any], *folders: str) -> dict[str, Any]:
    """A pod as strict as a namespace can ask for, with empty folders to write to."""
    volumes = {folder: folder.strip("/").replace("/", "-") for folder in folders}
    mounts = [{"name": name, "mountPath": folder} for folder, name in volumes.items()]
    main = container | {"name": "main", "imagePullPolicy": "Never", "securityContext": CONTAINED}
    return RESTRICTED | {
        "containers": [main | {"volumeMounts": [*container.get("volumeMounts", []), *mounts]}],
        "volumes": [{"name": name, "emptyDir": {}} for name in volumes.values()],
    }


class Pods:
    """Pods of the images, in a namespace of their own that admits none that may do more than they must."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def run(self, name: str, image: str, **container: Any) -> dict[str, Any]:
        """Run it to its end; its container's last state."""
        spec = pod_spec({"image": image} | container, "/tmp", "/data") | {"restartPolicy": "Never"}
        self._apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        self.cluster.until(
            lambda: self._phase(name) in {"Succeeded", "Failed"},
            f"{name} ends",
            namespace=NAMESPACE,
            within=WITHIN_SECONDS,
        )
        (status,) = self.pod(name)["status"]["containerStatuses"]
        state: dict[str, Any] = status["state"]["terminated"] | {"imageID": status["imageID"]}
        return state | {"log": self.cluster.kubectl("logs", "-n", NAMESPACE, name)}

    def serve(self, name: str, spec: dict[str, Any], data: str) -> None:
        """Keep one running, with a volume on `data`, until it is ready."""
        (container,) = spec["containers"]
        container["volumeMounts"].append({"name": "data", "mountPath": data})
        labels = {"app": name}
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self._apply(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": name},
                "spec": {
                    "serviceName": name,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
                },
            }
        )
        self.wait_ready(name)

    def restart(self, name: str) -> None:
        """End it in order, and wait for its successor."""
        self.cluster.kubectl("delete", "pod", "-n", NAMESPACE, f"{name}-0")
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        ready = ("--for=jsonpath={.status.readyReplicas}=1", f"statefulset/{name}")
        self.cluster.wait(*ready, namespace=NAMESPACE, within=WITHIN_SECONDS)

    def address(self, name: str) -> str:
        found: str = self.pod(f"{name}-0")["status"]["podIP"]
        return found

    def pod(self, name: str) -> dict[str, Any]:
        return self.cluster.get(f"pod/{name}", "-n", NAMESPACE)

    def _phase(self, name: str) -> str:
        phase: str = self.pod(name)["status"].get("phase", "")
        return phase

    def _apply(self, manifest: dict[str, Any]) -> None:
        self.cluster.apply(yaml.safe_dump(manifest), "-n", NAMESPACE)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The root file system of the exchange's image."""
    with unpacked(exchange_image()) as folder:
        yield folder


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[Pods]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    )
    yield Pods(cluster)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def exchange(cluster: Cluster) -> str:
    """The image's name, which the node knows."""
    cluster.load_image(exchange_image())
    return f"{REPOSITORY}:{project_version()}"


def locked() -> dict[str, str]:
    """The versions in requirements.lock, by name."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) ", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def test_the_lock_has_everything_that_the_project_wants_and_names_no_index() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = locked()
    for line in (*project["dependencies"], *project["optional-dependencies"]["s3"]):
        wanted = Requirement(line)
        name = wanted.name.lower()
        assert name in versions, f"{name} is not in requirements.lock: make it again, its head says how"
        assert versions[name] in wanted.specifier, f"requirements.lock has {name} {versions[name]}, not {wanted}"
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_the_image_is_small_and_has_nothing_that_builds(root: Path) -> None:
    size = exchange_image().stat().st_size / 1e6
    print(f"\nThe exchange's image is {size:.0f} MB, before compression")
    assert size < LARGEST_MB
    folders = [root / folder for folder in ("usr/bin", "usr/local/bin", "opt/exchange/bin")]
    assert [str(folder / name) for folder in folders for name in BUILDERS if (folder / name).exists()] == []
    packages = site_packages(root)
    assert not {"pip", "setuptools", "wheel"} & {path.name for path in packages.iterdir()}
    left = ("etc/pip.conf", "run/secrets", "root/.cache", "src", "project", "var/lib/apt/lists")
    assert [name for name in left if (root / name).exists() and any_file(root / name)] == []


def test_the_image_says_what_it_is_and_how_it_is_run() -> None:
    with tarfile.open(exchange_image()) as archive:
        (manifest,) = json.loads(read(archive, "manifest.json"))
        config = json.loads(read(archive, manifest["Config"]))["config"]
    assert (config["Entrypoint"], config["User"], config["WorkingDir"]) == (["exchange"], f"{USER}:{USER}", "/data")
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.version"] == project_version()
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def site_packages(root: Path) -> Path:
    (packages,) = (root / "opt/exchange/lib").glob("python3*/site-packages")
    return packages


def any_file(path: Path) -> bool:
    return path.is_file() or any(inner.is_file() for inner in path.rglob("*"))


def test_every_module_is_compiled_and_never_again(root: Path) -> None:
    modules = list(site_packages(root).rglob("*.py"))
    assert len(modules) > 1_000
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-311.pyc"
        # Hash-based, and not checked: PEP 552.
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", compiled


def test_the_image_is_written_to_in_two_folders_only(root: Path) -> None:
    writable = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_symlink() and (path.stat().st_uid == USER or path.stat().st_mode & 0o002)
    }
    assert {"tmp", "data"} <= writable <= WRITABLE


def test_it_runs_as_user_10001_on_a_root_that_is_read_only(pods: Pods, exchange: str) -> None:
    ended = pods.run("help", exchange, args=["--help"])
    assert ended["exitCode"] == 0
    assert "Usage: exchange" in ended["log"]
    assert pods.run("version", exchange, args=["--version"])["log"] == f"exchange {project_version()}\n"
    keys = pods.run("keys", exchange, args=["keys", "/data/keys", "--user", "1001"])
    assert keys["exitCode"] == 0, keys["log"]


def test_everything_that_it_may_import_is_there(pods: Pods, exchange: str) -> None:
    ended = pods.run("imports", exchange, command=["python", "-c", LOADS_EVERYTHING])
    assert ended["exitCode"] == 0, ended["log"]
    assert ended["log"].endswith("Read-only file system\nloaded\n")


def test_a_whole_exchange_serves_in_it(pods: Pods, exchange: str) -> None:
    container = {
        "image": exchange,
        "args": ["local", "--demo", "--host", "0.0.0.0", "--log-to", "stdout", "--data-dir", "/data/exchange"],
        "readinessProbe": {"httpGet": {"path": "/health/ready", "port": 3001}, "periodSeconds": 1},
    }
    pods.serve("local", pod_spec(container, "/tmp"), "/data")
    pods.restart("local")


def test_tags_are_names_of_one_image_and_a_crashing_one_ends_at_once(pods: Pods, exchange: str) -> None:
    pods.cluster.load_image(exchange_image("same"))
    pods.cluster.load_image(crashing_image("crashing"))
    args = ["--version"]
    first, second = (pods.run(tag, f"{REPOSITORY}:{tag}", args=args) for tag in ("same", "crashing"))
    assert first["imageID"] == pods.run("again", exchange, args=args)["imageID"]
    assert (first["exitCode"], second["exitCode"]) == (0, 1)
    assert second["log"] == "this image always ends at once\n"


def test_the_broker_keeps_its_records_over_a_restart(pods: Pods) -> None:
    pods.cluster.load_image(redpanda_standin())
    container = {
        "image": REDPANDA,
        "args": [
            "redpanda",
            "start",
            "--smp=1",
            "--memory=1G",
            "--overprovisioned",
            "--reserve-memory=0M",
            "--check=false",
            "--node-id=0",
            "--kafka-addr=internal://0.0.0.0:9092",
            "--advertise-kafka-addr=internal://$(POD_IP):9092",
            "--rpc-addr=0.0.0.0:33145",
            "--advertise-rpc-addr=$(POD_IP):33145",
            "--set",
            "redpanda.auto_create_topics_enabled=false",
        ],
        "env": [OWN_ADDRESS],
        "readinessProbe": {"httpGet": {"path": "/v1/status/ready", "port": 9644}, "periodSeconds": 1},
    }
    pods.serve("redpanda", pod_spec(container, "/etc/redpanda"), "/var/lib/redpanda/data")
    first = asyncio.run(write_record(pods.address("redpanda")))
    pods.restart("redpanda")
    second, record = asyncio.run(read_record(pods.address("redpanda")))
    assert record == b"kept"
    assert second == first


async def cluster_id(server: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=server)
    await admin.start()
    try:
        found: str = (await admin.describe_cluster())["cluster_id"]
        return found
    finally:
        await admin.close()


async def write_record(host: str) -> str:
    """Make the topic and write one record; the cluster's id."""
    server = f"{host}:9092"
    admin = AIOKafkaAdminClient(bootstrap_servers=server)
    await admin.start()
    await admin.create_topics([NewTopic("records", 2, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=server, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait("records", b"kept", partition=1)
    return await cluster_id(server)


async def read_record(host: str) -> tuple[str, bytes]:
    """The cluster's id, and the one record."""
    server = f"{host}:9092"
    consumer = AIOKafkaConsumer("records", bootstrap_servers=server, auto_offset_reset="earliest")
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), WITHIN_SECONDS)
    return await cluster_id(server), record.value


def test_the_database_keeps_its_rows_over_a_restart(pods: Pods) -> None:
    pods.cluster.load_image(scylla_standin())
    container = {
        "image": SCYLLA,
        "command": ["/usr/bin/scylla"],
        "args": [
            "--options-file=/etc/scylla/scylla.yaml",
            "--workdir=/var/lib/scylla",
            "--developer-mode=1",
            "--overprovisioned",
            "--smp=1",
            "--memory=1G",
            "--log-to-syslog=0",
            "--log-to-stdout=1",
            "--network-stack=posix",
            "--listen-address=$(POD_IP)",
            "--rpc-address=$(POD_IP)",
            "--seed-provider-parameters=seeds=$(POD_IP)",
        ],
        "env": [OWN_ADDRESS],
        "readinessProbe": {"tcpSocket": {"port": 9042}, "periodSeconds": 1},
    }
    pods.serve("scylla", pod_spec(container, "/tmp"), "/var/lib/scylla")
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    statements = (
        f"CREATE KEYSPACE kept WITH replication = {replication}",
        "CREATE TABLE kept.rows (id int PRIMARY KEY, what text)",
        "INSERT INTO kept.rows (id, what) VALUES (1, 'kept')",
    )
    cql(pods.address("scylla"), *statements)
    pods.restart("scylla")
    assert cql(pods.address("scylla"), "SELECT what FROM kept.rows WHERE id = 1") == [("kept",)]


def cql(host: str, *statements: str) -> list[Any]:
    """What the last of them found."""
    with Cassandra([host], protocol_version=4, connect_timeout=20) as database, database.connect() as session:
        return [list(session.execute(statement, timeout=60)) for statement in statements][-1]


START: Final = ("rpk.py", "redpanda", "start")
OPTIONS: Final = "--options-file=/etc/scylla/scylla.yaml"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((*START, "--set=redpanda.auto_create_topics_enabled=false"), "two arguments"),
        ((*START, "--set", "redpanda.not_a_property=1"), "Unknown property redpanda.not_a_property"),
        ((*START, "--set", "redpanda.auto_create_topics_enabled"), "not formatted as expected"),
        ((*START, "--mode=production-container"), "unrecognized mode"),
        ((*START, "--brokers=3"), "unrecognised option '--brokers=3'"),
        ((*START, "--seeds=redpanda-7.redpanda:33145"), "set replicas to 1"),
        ((*START, "--kafka-addr=a://0.0.0.0:1", "--advertise-kafka-addr=b://c:1"), "the listener 'a'"),
        (("rpk.py", "topic", "list"), "only `redpanda start`"),
        (("scylla.py", OPTIONS, "--overprovisioned=1"), "does not take any arguments"),
        (("scylla.py", OPTIONS, "--seeds=scylla-0"), "unrecognised option '--seeds=scylla-0'"),
        (("scylla.py", OPTIONS, "--seed-provider-parameters=seeds=scylla-7"), "set replicas to 1"),
        (("scylla.py", "--smp=1"), "--options-file"),
        (("docker-entrypoint.py", "--seeds=scylla-0"), "Requires root permission"),
    ],
)
def test_a_standin_refuses_what_it_cannot_stand_in_for(command: tuple[str, ...], why: str) -> None:
    user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    program, *arguments = command
    source = (STANDINS / program).read_text()
    # Its text is handed over: that user may not be able to read the tree, and starts the system's Python.
    started = [*user, "/usr/bin/python3", "-c", f"__name__ = '__main__'\n{source}", *arguments]
    done = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.returncode == 1
    assert why in done.stderr
