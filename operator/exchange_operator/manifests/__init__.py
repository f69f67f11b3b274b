"""From an exchange to the objects of Kubernetes that it is made of. Pure: the same exchange, the same objects.

A pod template holds only what the resource asks for and the name of its settings, never anything of the operator's
own: so a newer operator rolls nothing by itself. Whoever changes what a template says makes every exchange roll when
the operator is upgraded; the golden files of the tests show it.

Quantities are canonical ("1", "500m", "1Gi"), as the API server writes them, and what is empty is left out, as it
would not keep it.
"""

from typing import NamedTuple

from exchange_operator.names import Manifest


class Capabilities(NamedTuple):
    """What the cluster knows besides Kubernetes' own kinds."""

    service_monitor: bool = False


class Stage(NamedTuple):
    """Workloads or a Job, all of which must be ready before those of the next stage are changed."""

    name: str
    manifests: tuple[Manifest, ...]


class Desired(NamedTuple):
    """All objects of an exchange.

    foundation: what rolls nothing; it is applied first, and always. stages: in the order of a first start, which is
    that of an upgrade too.
    """

    foundation: tuple[Manifest, ...]
    stages: tuple[Stage, ...]
