"""The CustomResourceDefinition, made from the types of `resource` and `resource_status`.

    python -m exchange_operator.crd > charts/exchange-operator/templates/crd.yaml

The API server takes only structural schemas: no references, one type a value, nothing between fields but CEL. It adds
up what the rules could cost at worst, so every text, list and map has a bound.
"""

import sys
from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect

from exchange_operator.resource import GROUP, KIND, PLURAL, VERSION, Exchange, Spec
from exchange_operator.resource_status import ExchangeStatus
from exchange_operator.resource_values import Json, Part, Rule

_RULES: Final = "x-kubernetes-validations"
_HEADER: Final = """\
# What an Exchange may be. Made from the types in operator/exchange_operator by
#     python -m exchange_operator.crd > charts/exchange-operator/templates/crd.yaml
# Helm keeps it on uninstall, and every Exchange with it.
"""


def crd() -> Json:
    """The whole object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "exchange-operator", "app.kubernetes.io/part-of": "exchange-platform"},
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["exch"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def to_yaml() -> str:
    """The CRD as a file."""
    return _HEADER + yaml.dump(crd(), Dumper=WithoutAnchors, sort_keys=False, width=110, allow_unicode=True)


def schema_of(kind: inspect.Type, *, defaults: bool = True) -> Json:
    """A type as a structural schema. defaults: whether the API server is to fill in what is not given.

    Raises TypeError for a type that no structural schema can say.
    """
    match kind:
        case inspect.Metadata():
            return _with(schema_of(kind.type, defaults=defaults), kind.extra_json_schema or {})
        case inspect.UnionType() if kind.includes_none and len(kind.types) == 2:
            # Whether it may be left out is said by `required` of the object around it.
            (only,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
            return schema_of(only, defaults=defaults)
        case inspect.StructType():
            return _object(kind, defaults=defaults)
        case inspect.CollectionType():
            items = schema_of(kind.item_type, defaults=defaults)
            return _bounded({"type": "array", "items": items}, minItems=kind.min_length, maxItems=kind.max_length)
        case inspect.DictType():
            values = schema_of(kind.value_type, defaults=defaults)
            return _bounded({"type": "object", "additionalProperties": values}, maxProperties=kind.max_length)
        case _:
            return _single(kind)


def _single(kind: inspect.Type) -> Json:
    match kind:
        case inspect.StrType():
            # The pattern is left out: a rule says it in words.
            return _bounded({"type": "string"}, minLength=kind.min_length, maxLength=kind.max_length)
        case inspect.LiteralType():
            return {"type": "string", "enum": list(kind.values)}
        case inspect.IntType():
            return _bounded({"type": "integer"}, minimum=kind.ge, maximum=kind.le)
        case inspect.BoolType():
            return {"type": "boolean"}
    raise TypeError(f"no structural schema can say {kind}")


def _object(kind: inspect.StructType, *, defaults: bool) -> Json:
    properties = {field.encode_name: _field(field, defaults=defaults) for field in kind.fields}
    schema: Json = {
        "description": " ".join((kind.cls.__doc__ or "").split()),
        "type": "object",
        "required": [field.encode_name for field in kind.fields if field.required],
        "properties": properties,
        _RULES: _built(kind.cls.RULES) if issubclass(kind.cls, Part) else [],
    }
    return {key: value for key, value in schema.items() if value}


def _field(field: inspect.Field, *, defaults: bool) -> Json:
    schema = schema_of(field.type, defaults=defaults)
    return schema | _default(field, schema) if defaults else schema


def _default(field: inspect.Field, schema: Json) -> Json:
    """What is filled in: nothing that would tell a reader nothing, such as an empty list.

    An empty text that has rules is filled in all the same: without, its first value would not be held against it.
    """
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if isinstance(value, msgspec.Struct):
        given = msgspec.to_builtins(value)
        return {"default": given} if given or _fills_in(schema) else {}
    return {"default": value} if value is not None and (value != "" or _RULES in schema) else {}


def _fills_in(schema: Json) -> bool:
    return any("default" in part for part in schema["properties"].values())


def _with(schema: Json, extra: Json) -> Json:
    """extra: description, rules and list types of the place where the schema is used."""
    merged = schema | extra
    if _RULES in schema and _RULES in extra:
        merged[_RULES] = schema[_RULES] + extra[_RULES]
    # A description is read before anything else.
    return {key: merged[key] for key in sorted(merged, key=lambda key: key != "description")}


def _bounded(schema: Json, **bounds: int | float | None) -> Json:
    return schema | {name: bound for name, bound in bounds.items() if bound is not None}


def _built(rules: tuple[Rule, ...]) -> list[Json]:
    built: list[Json] = msgspec.to_builtins(rules)
    return built


def _root() -> Json:
    return {
        "description": Exchange.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # The name is said here so that a rule can be about it.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": schema_of(inspect.type_info(Spec)),
            "status": schema_of(inspect.type_info(ExchangeStatus), defaults=False),
        },
        _RULES: _built(Exchange.RULES),
    }


def _columns() -> list[Json]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        {"name": "Ready", "type": "string", "jsonPath": f"{ready}.status", "description": "Whether users can trade."},
        {"name": "Reason", "type": "string", "jsonPath": f"{ready}.reason", "description": "Why it is ready or not."},
        {"name": "Gateway", "type": "string", "jsonPath": ".status.gateway", "description": "Ready gateways."},
        {"name": "Symbols", "type": "integer", "jsonPath": ".status.symbolCount", "description": "Known symbols."},
        {
            "name": "Paused",
            "type": "boolean",
            "jsonPath": ".spec.paused",
            "description": "Whether the operator changes nothing for now.",
            "priority": 1,
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


class WithoutAnchors(yaml.SafeDumper):
    """Says everything where it stands: not every reader of a CRD knows anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
