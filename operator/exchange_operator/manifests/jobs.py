"""Jobs that make topics and tables what the settings say, and those that delete them with the exchange.

A Job is named by what it does: another version of the exchange or other settings make another one, and one that is
complete stays as the record that it was done.
"""

from collections.abc import Sequence
from typing import Final

from exchange_operator.manifests import pods
from exchange_operator.manifests.quantities import resources
from exchange_operator.manifests.settings import settings_of
from exchange_operator.names import Manifest, fingerprint, manifest, object_name, stamped
from exchange_operator.resource import Exchange, Resources

TOPICS: Final = "topics"
SCHEMA: Final = "schema"
_TRIES: Final = 3
_APPLY_SECONDS: Final = 900
_DELETE_SECONDS: Final = 120
"""Whoever deletes an exchange does not wait for a broker that is gone."""


def apply_topics(exchange: Exchange) -> Manifest:
    """Make or grow the topics."""
    return _job(exchange, TOPICS, ["topics", "apply"], _APPLY_SECONDS)


def apply_schema(exchange: Exchange) -> Manifest:
    """Bring the keyspace up to date."""
    return _job(exchange, SCHEMA, ["schema", "apply"], _APPLY_SECONDS)


def delete_topics(exchange: Exchange) -> tuple[Manifest, Manifest]:
    """The settings of a Job that deletes the topics, and the Job, as they are to be applied."""
    job = _job(exchange, TOPICS, ["topics", "delete", "--yes"], _DELETE_SECONDS, f"{TOPICS}-delete")
    return stamped(settings_of(exchange, TOPICS).config_map), stamped(job)


def drop_schema(exchange: Exchange) -> tuple[Manifest, Manifest]:
    """The settings of a Job that drops the keyspace, and the Job, as they are to be applied."""
    job = _job(exchange, SCHEMA, ["schema", "drop", "--yes"], _DELETE_SECONDS, f"{SCHEMA}-drop")
    return stamped(settings_of(exchange, SCHEMA).config_map), stamped(job)


def _job(exchange: Exchange, component: str, arguments: Sequence[str], seconds: int, name: str = "") -> Manifest:
    """seconds: for all tries together."""
    settings = settings_of(exchange, component)
    asked = resources(Resources(), cpu="100m", memory="256Mi")
    container = pods.program(exchange, component, arguments, settings, asked)
    template = pods.template(exchange, component, container, pods.volumes(settings), restartPolicy="Never")
    spec = {"backoffLimit": _TRIES, "activeDeadlineSeconds": seconds, "template": template}
    named = f"{object_name(exchange, name or component)}-{fingerprint(spec)}"
    return manifest("batch/v1", "Job", exchange, component, named, spec=spec)
