"""A database that the operator runs: a small one, for development, from ScyllaDB's official image.

That image's entry point sets the machine up and wants root for it, which the *restricted* pod security standard
forbids; so the server is started by itself, as any user, and its checks of the machine are off (developer mode). The
node still wants `fs.aio-max-nr` to be large enough, which only its administrator can set.
"""

from fractions import Fraction
from typing import Final

from exchange_operator.manifests import pods, workloads
from exchange_operator.manifests.connections import CQL_PORT
from exchange_operator.manifests.quantities import megabytes, resources
from exchange_operator.names import Manifest, host_name, manifest, object_name, selector
from exchange_operator.resource import Exchange, ManagedScylla

COMPONENT: Final = "scylla"
STORAGE_PORT: Final = 7000
_DATA: Final = "/var/lib/scylla"
_SHARE: Final = Fraction(2, 3)
"""Of its memory that ScyllaDB takes for itself at its start."""


def stateful_set(exchange: Exchange, scylla: ManagedScylla) -> Manifest:
    """The nodes. They join one after the other."""
    asked = resources(scylla.resources, cpu="250m", memory="1536Mi", headroom=1)
    container = pods.hardened(
        {
            "name": COMPONENT,
            "image": scylla.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/usr/bin/scylla"],
            "args": _arguments(exchange, scylla.replicas, megabytes(asked["limits"]["memory"], _SHARE)),
            "env": [workloads.POD_NAME, workloads.POD_IP],
            "ports": [
                {"name": "cql", "containerPort": CQL_PORT},
                {"name": "storage", "containerPort": STORAGE_PORT},
            ],
            "volumeMounts": [{"name": "data", "mountPath": _DATA}, pods.TEMPORARY_MOUNT],
            "resources": asked,
            "readinessProbe": {"tcpSocket": {"port": "cql"}, "periodSeconds": 5, "timeoutSeconds": 5},
            **workloads.tcp_probes("cql"),
        }
    )
    template = pods.template(
        exchange,
        COMPONENT,
        container,
        [pods.TEMPORARY],
        topologySpreadConstraints=pods.spread(exchange, COMPONENT),
    )
    volume = workloads.volume_of_each(exchange, COMPONENT, scylla.storage, scylla.storage_class_name)
    return workloads.stateful_set(
        exchange, COMPONENT, scylla.replicas, template, podManagementPolicy="OrderedReady", **volume
    )


def surroundings(exchange: Exchange, scylla: ManagedScylla) -> tuple[Manifest, ...]:
    """A headless Service for the nodes, a Service of each for clients, and a PodDisruptionBudget.

    A client's driver looks names up once, and a pod has another address after each start: so each node has a Service
    with an address that stays, and tells that one to clients.
    """
    return (
        workloads.headless(exchange, COMPONENT, cql=CQL_PORT, storage=STORAGE_PORT),
        *(_service_of(exchange, index) for index in range(scylla.replicas)),
        workloads.disruption_budget(exchange, COMPONENT),
    )


def _service_of(exchange: Exchange, index: int) -> Manifest:
    pod = f"{object_name(exchange, COMPONENT)}-{index}"
    spec = {
        "selector": selector(exchange, COMPONENT) | {"statefulset.kubernetes.io/pod-name": pod},
        "ports": [{"name": "cql", "port": CQL_PORT, "targetPort": "cql"}],
    }
    return manifest("v1", "Service", exchange, COMPONENT, pod, spec=spec)


def _arguments(exchange: Exchange, replicas: int, memory: int) -> list[str]:
    """memory: in MiB."""
    first = host_name(exchange, object_name(exchange, COMPONENT), 0)
    return [
        *("--options-file=/etc/scylla/scylla.yaml", f"--workdir={_DATA}"),
        *("--developer-mode=1", "--overprovisioned", "--smp=1", f"--memory={memory}M"),
        *("--log-to-syslog=0", "--log-to-stdout=1", "--network-stack=posix"),
        # A write is on disk before it is answered. Else whoever is killed forgets the last seconds.
        "--commitlog-sync=batch",
        *("--listen-address=$(POD_IP)", "--rpc-address=$(POD_IP)"),
        f"--broadcast-rpc-address={host_name(exchange, '$(POD_NAME)')}",
        # One that is alone needs nobody's name to begin.
        f"--seed-provider-parameters=seeds={first if replicas > 1 else '$(POD_IP)'}",
    ]
