"""Backups while the exchange runs: a CronJob of the platform's own command."""

from collections.abc import Mapping
from typing import Final

from exchange_operator.manifests import pods
from exchange_operator.manifests.quantities import resources
from exchange_operator.manifests.settings import settings_of
from exchange_operator.names import Manifest, manifest
from exchange_operator.resource import Exchange, Resources

COMPONENT: Final = "backup"
_LATE_SECONDS: Final = 600
_LONGEST_SECONDS: Final = 6 * 3600
"""One that hangs would keep all later ones from being made."""
_SCHEDULES: Final[Mapping[str, str]] = {
    "15m": "*/15 * * * *",
    "30m": "*/30 * * * *",
    "1h": "0 * * * *",
    "24h": "0 0 * * *",
}


def surroundings(exchange: Exchange) -> tuple[Manifest, ...]:
    """The CronJob, when backups are asked for."""
    return () if exchange.spec.backup is None else (_cron_job(exchange),)


def schedule(interval: str) -> str:
    """An interval of the resource, as cron says it: counted from midnight."""
    return _SCHEDULES.get(interval) or f"0 */{interval.removesuffix('h')} * * *"


def _cron_job(exchange: Exchange) -> Manifest:
    backup = exchange.spec.backup
    assert backup is not None
    settings = settings_of(exchange, COMPONENT)
    asked = resources(Resources(), cpu="100m", memory="256Mi", headroom=4)
    container = pods.program(exchange, COMPONENT, ["backup", "create"], settings, asked)
    if backup.credentials_secret_ref is not None:
        container["envFrom"] = [{"secretRef": {"name": backup.credentials_secret_ref.name}}]
    template = pods.template(exchange, COMPONENT, container, pods.volumes(settings), restartPolicy="Never")
    job = {"backoffLimit": 1, "activeDeadlineSeconds": _LONGEST_SECONDS, "template": template}
    spec = {
        "schedule": schedule(backup.interval),
        "suspend": backup.suspend,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": _LATE_SECONDS,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": job},
    }
    return manifest("batch/v1", "CronJob", exchange, COMPONENT, spec=spec)
