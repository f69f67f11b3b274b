"""The `Exchange` resource: what a person may ask for. The CRD is made from these types; see `crd`."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from exchange_operator.resource_markets import MARKET_RULES, MAX_ASSETS, MAX_SYMBOLS, Asset, Symbol
from exchange_operator.resource_services import (
    Autoscaling,
    Backup,
    Gateway,
    Image,
    Ingress,
    Issuer,
    Matcher,
    NetworkPolicySpec,
    Observability,
    Projection,
    RateLimit,
    RateLimits,
    Scheduling,
    Toleration,
    Ubscore,
)
from exchange_operator.resource_stores import (
    ExternalRedpanda,
    ExternalScylla,
    ManagedRedpanda,
    ManagedScylla,
    Redpanda,
    Sasl,
    Scylla,
)
from exchange_operator.resource_values import Amounts, Part, Resources, Rule, SecretKey, SecretName, Tls, map_by

__all__ = [
    "GROUP",
    "VERSION",
    "API_VERSION",
    "KIND",
    "PLURAL",
    "Exchange",
    "Spec",
    "parse",
    "Asset",
    "Symbol",
    "Redpanda",
    "ExternalRedpanda",
    "ManagedRedpanda",
    "Sasl",
    "Scylla",
    "ExternalScylla",
    "ManagedScylla",
    "Image",
    "Gateway",
    "Autoscaling",
    "Ingress",
    "RateLimit",
    "RateLimits",
    "Issuer",
    "Ubscore",
    "Matcher",
    "Projection",
    "Observability",
    "NetworkPolicySpec",
    "Backup",
    "Scheduling",
    "Toleration",
    "Amounts",
    "Resources",
    "SecretKey",
    "SecretName",
    "Tls",
]

GROUP: Final = "trading.exchange"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "Exchange"
PLURAL: Final = "exchanges"


class Spec(Part, frozen=True, kw_only=True):
    """What is asked for."""

    RULES = MARKET_RULES

    image: Image
    assets: Annotated[
        list[Asset],
        Meta(
            min_length=1,
            max_length=MAX_ASSETS,
            description="What users have balances of. One that is taken out stays known to the exchange.",
            extra_json_schema=map_by("name"),
        ),
    ]
    symbols: Annotated[
        list[Symbol],
        Meta(
            max_length=MAX_SYMBOLS,
            description="What is traded; each name once. One that is taken out is halted, and stays known to the "
            "exchange.",
            extra_json_schema=map_by("name"),
        ),
    ] = msgspec.field(default_factory=list)
    redpanda: Redpanda
    scylla: Scylla
    gateway: Gateway = Gateway()
    ubscore: Ubscore = Ubscore()
    matcher: Matcher = Matcher()
    settlement: Annotated[Projection, Meta(description="The service that writes trades and balances.")] = Projection()
    order_history: Annotated[Projection, Meta(description="The service that writes orders.")] = Projection()
    observability: Observability = Observability()
    network_policy: NetworkPolicySpec = NetworkPolicySpec()
    backup: Backup | None = None
    scheduling: Scheduling = Scheduling()
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Meta(
            description="What becomes of volumes, topics, keyspace and keys when the Exchange is deleted: "
            "Retain keeps them, Delete deletes them."
        ),
    ] = "Retain"
    paused: Annotated[
        bool, Meta(description="Whether the operator changes nothing for now. A deletion goes on all the same.")
    ] = False


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A spot exchange: a gateway, balances, books, settlement and order history, on a log and a database."""

    RULES: ClassVar = (
        Rule(
            "size(self.metadata.name) <= 32 && self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
            "the name of an Exchange is part of the names of its Services: it must be at most 32 of a-z, 0-9 and '-', "
            "and begin with a letter",
            field_path=".metadata.name",
        ),
    )

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec
    annotations: Mapping[str, str] = {}

    @property
    def paused(self) -> bool:
        """Whether nothing is to be changed."""
        return self.spec.paused or self.annotations.get(f"{GROUP}/paused") == "true"


def parse(body: Mapping[str, Any]) -> Exchange:
    """A resource as the API server gives it.

    Raises msgspec.ValidationError, whose text names the field, when the API server did not check it by our CRD.
    """
    metadata = body["metadata"]
    return Exchange(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=msgspec.convert(body.get("spec", {}), Spec),
        annotations=metadata.get("annotations", {}),
    )
