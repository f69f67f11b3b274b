"""What kopf is told: how to watch, which handlers there are, and how replicas agree on who works. `run` calls it.

A daemon looks after each exchange; its passes are woken by what the watches tell. kopf gives it what is hard to get
right: it starts with the resource, stops when the resource is deleted, when another replica takes over, and when the
process ends, and the resource's finalizer stays until `tear_down` is through. Nothing but that finalizer is written
into the resource by kopf itself, as nothing but its deletion is a change that kopf handles.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import kopf

from exchange_operator.cluster import MANAGED_BY
from exchange_operator.names import INSTANCE
from exchange_operator.passes import Passes
from exchange_operator.resource import GROUP, PLURAL, VERSION

FINALIZER: Final = f"{GROUP}/operator"
PAUSED: Final = f"{GROUP}/paused"
MAX_PASSES: Final = 8
"""At one time; each has a thread."""
PEER_SECONDS: Final = 30
"""After which a replica that says nothing is taken for dead."""
STOP_SECONDS: Final = 20.0
"""For a pass to end in order. No request takes longer."""

CHILDREN: Final = (
    ("", "v1", "services"),
    ("", "v1", "configmaps"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "persistentvolumeclaims"),
    ("apps", "v1", "deployments"),
    ("apps", "v1", "statefulsets"),
    ("batch", "v1", "jobs"),
    ("batch", "v1", "cronjobs"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
)
"""Kinds that are watched. Pods are not: what matters of them shows in what controls them, or is looked at soon."""


def configure(settings: kopf.OperatorSettings, threads: ThreadPoolExecutor) -> None:
    """Set what the defaults of kopf are not good for. kopf ignores names that it does not know: a test looks."""
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    # Without an end of its own, a connection that died silently would be listened to for ever.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    # A pause may be over at once, when a replica was slow: it is taken for dead, comes back, and takes itself for dead.
    # Daemons must have ended before the list that follows: nothing else starts them again.
    settings.watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.execution.executor = threads
    settings.execution.max_workers = MAX_PASSES
    settings.posting.level = logging.WARNING
    settings.posting.reporting_component = "exchange-operator"
    settings.peering.lifetime = PEER_SECONDS
    # Which kinds and namespaces there are is looked up once: to watch that too would want more rights.
    settings.scanning.disabled = True
    settings.background.instant_exit_timeout = 2.0
    settings.process.ultimate_exiting_timeout = 2 * STOP_SECONDS
    for child in CHILDREN:
        settings.watching.label_selectors[child] = MANAGED_BY


def registered(passes: Passes) -> kopf.OperatorRegistry:
    """The handlers."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)

    @kopf.daemon(GROUP, VERSION, PLURAL, registry=registry, id="look-after", cancellation_timeout=STOP_SECONDS)
    async def look_after(*, namespace: str | None, name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
        # It must not end before it is stopped: kopf would take its finalizer away. When it is, it must end at once:
        # what a watch tells of while it ends starts no other one, neither then nor later.
        await passes.look_after(namespace or "", name, stopped.is_set, stopped.wait())

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry, id="tear-down", when=_is_deleted)
    async def tear_down(*, namespace: str | None, name: str, **_: Any) -> None:
        await passes.tear_down(namespace or "", name)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="notice")
    async def notice(*, namespace: str | None, name: str, type: str, meta: kopf.Meta, **_: Any) -> None:
        if type == "DELETED":
            passes.forget(namespace or "", name)
        else:
            essence = (meta.get("generation"), meta.annotations.get(PAUSED), meta.get("deletionTimestamp"))
            passes.notice(namespace or "", name, str(meta.get("resourceVersion")), essence)

    async def wake(*, namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        passes.wake(namespace or "", labels.get(INSTANCE, ""))

    for child in CHILDREN:
        kopf.on.event(*child, registry=registry, id=f"wake-{child[-1]}")(wake)
    return registry


def _is_deleted(meta: kopf.Meta, **_: Any) -> bool:
    return meta.get("deletionTimestamp") is not None
