"""Single values of the `Exchange` resource, and what parts of it share.

Bounds and descriptions stand at the types. What no bound can say (never changes, only grows) is a rule of CEL, with
the sentence that `kubectl apply` answers: in the metadata of a value, or in the `RULES` of a part. A text's pattern is
such a rule too, as a person reads "such as 512Mi" faster than a regular expression.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

MAX_SHARDS: Final = 64

Json = dict[str, Any]


class Rule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An expression of CEL that must hold, and the sentence for when it does not."""

    rule: str
    message: str
    field_path: str = ""
    """Which field the sentence is about, such as `.name`; the one that has the rule without."""
    reason: str = ""
    message_expression: str = ""
    """CEL that makes a better sentence; `message` stands in when it cannot."""


def rules(*rules: Rule) -> Json:
    return {"x-kubernetes-validations": msgspec.to_builtins(rules)}


def matching(pattern: str, max_length: int, wants: str) -> Meta:
    """A text that must match. wants: the sentence for when it does not."""
    return Meta(
        pattern=pattern, max_length=max_length, extra_json_schema=rules(Rule(f"self.matches(r'{pattern}')", wants))
    )


def _unchanged(what: str, instead: str) -> Rule:
    return Rule("self == oldSelf", f"{what} cannot change: {instead}", reason="FieldValueForbidden")


def constant(what: str, instead: str) -> Json:
    return rules(_unchanged(what, instead))


def map_by(key: str) -> Json:
    """A list whose items have that key, each once."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


# Single values

Text = Annotated[str, Meta(min_length=1, max_length=253)]
Host = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        253,
        "must be a host name or an IPv4 address, without scheme and port, such as scylla-0.scylla",
    ),
]
HostPort = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$",
        259,
        "must be host:port without a scheme, such as redpanda-0.redpanda:9092",
    ),
]
ObjectName = Annotated[
    str,
    matching(
        r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        253,
        "must be the name of an object of the cluster: lower case letters, digits, '-' and '.'",
    ),
]
AssetName = Annotated[str, matching(r"^[A-Z0-9]{1,16}$", 16, "must be 1 to 16 of A-Z and 0-9, such as BTC")]
SymbolName = Annotated[
    str,
    matching(
        r"^[A-Z0-9]{1,16}_[A-Z0-9]{1,16}$",
        33,
        "must be the names of two assets with a '_' between them, such as BTC_USDT",
    ),
]
Amount = Annotated[
    str, matching(r"^[0-9]{1,18}(\.[0-9]{1,18})?$", 37, 'must be a plain decimal number in quotes, such as "0.01"')
]
Step = Annotated[
    Amount,
    Meta(extra_json_schema=rules(Rule("self.matches('[1-9]')", 'must be above 0, such as "0.01"'))),
]
Rate = Annotated[
    str,
    matching(
        r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$",
        8,
        'must be a share from 0 to 1 in quotes, with at most 6 decimals, such as "0.05" for 5 %',
    ),
]
_PORT: Final = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
Endpoint = Annotated[
    str,
    matching(
        rf"^(https?://{_NAME}(:{_PORT})?/?|{_NAME}:{_PORT})?$",
        270,
        "must be host:port, or a URL of http or https without a path, such as http://collector.monitoring:4317",
    ),
]
Fee = Annotated[
    str,
    matching(
        r"^0(\.(0[0-9]{0,5}|10{0,5}))?$",
        8,
        'must be a share from 0 to 0.1 (10 %) in quotes, with at most 6 decimals, such as "0.001" for 0.1 %',
    ),
]
Duration = Annotated[
    str,
    matching(
        r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$", 12, "must be a number with one of ms, s, m, h and d, such as 60s or 15m"
    ),
]
Retention = Annotated[
    str,
    matching(
        r"^([1-9][0-9]{0,8}(ms|s|m|h|d)|forever)$",
        12,
        "must be forever, or a number with one of ms, s, m, h and d, such as 7d",
    ),
]
Cpu = Annotated[
    str,
    matching(r"^([0-9]{1,6}(\.[0-9]{1,3})?|[1-9][0-9]{0,8}m)$", 12, "must be in cores, such as 2 or 500m, in quotes"),
]
Memory = Annotated[
    str,
    matching(
        r"^[1-9][0-9]{0,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$",
        18,
        "must be in bytes, such as 512Mi or 2Gi (512m would be half a byte)",
    ),
]
_STORAGE_GROWS: Final = Rule(
    "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
    "storage can only grow, as no volume can be made smaller: set it to at least what it was",
    reason="FieldValueForbidden",
)
Storage = Annotated[
    str,
    matching(r"^[1-9][0-9]{0,9}(Mi|Gi|Ti)$", 12, "must be a size with one of Mi, Gi and Ti, such as 20Gi"),
    Meta(
        description="Size of each volume. It can only grow, and its storage class must allow that.",
        extra_json_schema=rules(_STORAGE_GROWS),
    ),
]
StorageClass = Annotated[
    str,
    Meta(
        max_length=253,
        description="StorageClass of the volumes; the cluster's default one when empty. It can never change.",
        extra_json_schema=constant(
            "storageClassName",
            "a volume stays where it is; set it to what it was, or restore a backup into a new Exchange",
        ),
    ),
]
Shards = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_SHARDS,
        description="Number of shards, each one process with a volume of its own. It can never change.",
        extra_json_schema=constant("shards", "users and symbols belong to their shard for ever; set it to what it was"),
    ),
]
Keyspace = Annotated[
    str,
    matching(r"^([a-z][a-z0-9_]{0,47})?$", 48, "must be a letter and up to 47 of a-z, 0-9 and '_', such as trading"),
]
TopicPrefix = Annotated[
    str, matching(r"^[A-Za-z0-9._-]*$", 150, "must be of letters, digits, '.', '_' and '-', such as trading.")
]
Status = Literal["Trading", "Halted", "CancelOnly"]
Interval = Literal["15m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"]


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the resource. Fields that are not known are left to the API server, which refuses or prunes them."""

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between its fields."""


class Amounts(Part, frozen=True):
    """Processor time and memory."""

    cpu: Annotated[Cpu | None, Meta(description="Cores, such as 500m or 2.")] = None
    memory: Annotated[Memory | None, Meta(description="Bytes, such as 512Mi or 2Gi.")] = None


def _within_limit(what: str) -> Rule:
    asked, most = f"self.requests.{what}", f"self.limits.{what}"
    return Rule(
        f"!has(self.requests) || !has({asked}) || !has(self.limits) || !has({most}) || !isQuantity({asked})"
        f" || !isQuantity({most}) || quantity({asked}).compareTo(quantity({most})) <= 0",
        f"requests.{what} is above limits.{what}: lower the request or raise the limit",
        field_path=f".requests.{what}",
    )


class Resources(Part, frozen=True):
    """What each pod asks for, and what it gets at most. What is not given has the operator's default."""

    RULES = (_within_limit("cpu"), _within_limit("memory"))

    requests: Annotated[Amounts, Meta(description="What a node must have free to take a pod.")] = Amounts()
    limits: Annotated[Amounts, Meta(description="What a pod cannot go beyond.")] = Amounts()


class SecretKey(Part, frozen=True):
    """One value of a Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]
    key: Annotated[Text, Meta(description="Which of its keys has the value.")]


class SecretName(Part, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]


class Tls(Part, frozen=True):
    """Encrypted connections; none without."""

    enabled: Annotated[bool, Meta(description="Whether connections are encrypted.")] = True
    ca_secret_ref: Annotated[
        SecretKey | None,
        Meta(
            description="Certificate (PEM) of who signed the server's; without it, those count whom the image trusts."
        ),
    ] = None
    client_secret_ref: Annotated[
        SecretName | None,
        Meta(description="Our own certificate, where the server asks for one: a Secret of type kubernetes.io/tls."),
    ] = None
