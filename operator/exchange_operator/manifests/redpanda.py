"""Brokers that the operator runs: small ones, for development, from Redpanda's official image.

Its mode `dev-container` fits a machine that others use too. What that mode does to durability is undone, as we say
of every order that we acknowledge that it is durable: syncs are not left out, and no answer comes before them.
`rpk` writes its configuration at every start, so that folder is a volume.
"""

from fractions import Fraction
from typing import Final

from exchange_operator.manifests import pods, workloads
from exchange_operator.manifests.connections import KAFKA_PORT
from exchange_operator.manifests.quantities import megabytes, resources
from exchange_operator.names import Manifest, host_name, object_name
from exchange_operator.resource import Exchange, ManagedRedpanda

COMPONENT: Final = "redpanda"
RPC_PORT: Final = 33145
ADMIN_PORT: Final = 9644
_USER: Final = 101
"""Of the image."""
_CONFIGURATION: Final = "/etc/redpanda"
_DATA: Final = "/var/lib/redpanda/data"
_SHARE: Final = Fraction(2, 3)
"""Of its memory that Redpanda takes for itself at its start; the rest is for what it does not count."""


def stateful_set(exchange: Exchange, redpanda: ManagedRedpanda) -> Manifest:
    """The brokers. They find each other by name, all at one time, and make a cluster when all are there."""
    asked = resources(redpanda.resources, cpu="250m", memory="1536Mi", headroom=1)
    ready = {"path": "/v1/status/ready", "port": "admin"}
    container = pods.hardened(
        {
            "name": COMPONENT,
            "image": redpanda.image,
            "imagePullPolicy": "IfNotPresent",
            "args": _arguments(exchange, redpanda.replicas, megabytes(asked["limits"]["memory"], _SHARE)),
            "env": [workloads.POD_NAME],
            "ports": [
                {"name": "kafka", "containerPort": KAFKA_PORT},
                {"name": "rpc", "containerPort": RPC_PORT},
                {"name": "admin", "containerPort": ADMIN_PORT},
            ],
            "volumeMounts": [
                {"name": "data", "mountPath": _DATA},
                {"name": "configuration", "mountPath": _CONFIGURATION},
                pods.TEMPORARY_MOUNT,
            ],
            "resources": asked,
            "readinessProbe": {"httpGet": ready, "periodSeconds": 5, "timeoutSeconds": 5},
            **workloads.tcp_probes("admin"),
        }
    )
    template = pods.template(
        exchange,
        COMPONENT,
        container,
        [{"name": "configuration", "emptyDir": {}}, pods.TEMPORARY],
        securityContext=pods.security(_USER),
        topologySpreadConstraints=pods.spread(exchange, COMPONENT),
    )
    volume = workloads.volume_of_each(exchange, COMPONENT, redpanda.storage, redpanda.storage_class_name)
    return workloads.stateful_set(exchange, COMPONENT, redpanda.replicas, template, **volume)


def surroundings(exchange: Exchange) -> tuple[Manifest, ...]:
    """A headless Service, which gives brokers the names that they tell clients, and a PodDisruptionBudget."""
    return (
        workloads.headless(exchange, COMPONENT, kafka=KAFKA_PORT, rpc=RPC_PORT, admin=ADMIN_PORT),
        workloads.disruption_budget(exchange, COMPONENT),
    )


def _arguments(exchange: Exchange, replicas: int, memory: int) -> list[str]:
    """memory: in MiB."""
    name = object_name(exchange, COMPONENT)
    own = f"$(POD_NAME).{host_name(exchange, name)}"
    # `rpk` takes `--set` in two arguments only.
    properties = ["redpanda.auto_create_topics_enabled=false", "redpanda.write_caching_default=false"]
    seeds = []
    if replicas > 1:
        properties.append("redpanda.empty_seed_starts_cluster=false")
        seeds = [f"{host_name(exchange, name, index)}:{RPC_PORT}" for index in range(replicas)]
    return [
        *("redpanda", "start", "--mode=dev-container", "--unsafe-bypass-fsync=false"),
        *("--smp=1", f"--memory={memory}M"),
        f"--kafka-addr=PLAINTEXT://0.0.0.0:{KAFKA_PORT}",
        f"--advertise-kafka-addr=PLAINTEXT://{own}:{KAFKA_PORT}",
        f"--rpc-addr=0.0.0.0:{RPC_PORT}",
        f"--advertise-rpc-addr={own}:{RPC_PORT}",
        *([f"--seeds={','.join(seeds)}"] if seeds else []),
        *(part for property_ in properties for part in ("--set", property_)),
    ]
