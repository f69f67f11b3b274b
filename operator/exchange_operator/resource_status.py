"""The status of an `Exchange`: what the operator tells a person about it. The CRD is made from these types too."""

from typing import Annotated, Literal

from msgspec import Meta

from exchange_operator.resource_values import Part, map_by

# The API server compares bounds as floating-point numbers: 2**63 - 1 would become one more, and overflow.
_Generation = Annotated[int, Meta(ge=0, le=2**53, extra_json_schema={"format": "int64"})]
_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Condition(Part, frozen=True):
    """One thing that is so, or is not."""

    type: Annotated[str, Meta(min_length=1, max_length=316, description="What is so or not, such as Ready.")]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether it is so.")]
    reason: Annotated[str, Meta(max_length=1024, description="Why, in one word for programs.")]
    message: Annotated[str, Meta(max_length=32768, description="Why, and what to do, for people.")]
    last_transition_time: Annotated[
        str, Meta(max_length=64, description="Since when.", extra_json_schema={"format": "date-time"})
    ]
    observed_generation: Annotated[_Generation, Meta(description="Of which generation of the spec it tells.")] = 0


class ComponentStatus(Part, frozen=True):
    """The pods of one component."""

    name: Annotated[str, Meta(max_length=63, description="Which component, such as gateway.")]
    desired: Annotated[_Count, Meta(description="How many pods it should have.")]
    ready: Annotated[_Count, Meta(description="How many pods are ready.")]
    image: Annotated[str, Meta(max_length=512, description="Which image the pods should run.")] = ""


class SymbolState(Part, frozen=True):
    """One symbol, as the exchange has it."""

    name: Annotated[str, Meta(max_length=33, description="Which symbol.")]
    status: Annotated[str, Meta(max_length=32, description="Trading, CancelOnly or Halted.")]


class Endpoints(Part, frozen=True):
    """Where the exchange can be reached."""

    rest: Annotated[str, Meta(max_length=512, description="URL of the REST API within the cluster.")] = ""


class ExchangeStatus(Part, frozen=True):
    """What has become of it."""

    observed_generation: Annotated[_Generation, Meta(description="Which generation of the spec this tells of.")] = 0
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            max_length=20,
            description="Ready, and what it depends on.",
            extra_json_schema=map_by("type"),
        ),
    ] = ()
    components: Annotated[
        tuple[ComponentStatus, ...],
        Meta(
            max_length=20,
            description="The pods of every component.",
            extra_json_schema=map_by("name"),
        ),
    ] = ()
    symbols: Annotated[
        tuple[SymbolState, ...],
        Meta(
            max_length=2000,
            description="The symbols that the spec names or named, as the exchange has them.",
            extra_json_schema=map_by("name"),
        ),
    ] = ()
    symbol_count: Annotated[_Count, Meta(description="How many these are.")] = 0
    gateway: Annotated[str, Meta(max_length=16, description="Ready gateways of how many, such as 2/3.")] = ""
    endpoints: Endpoints = Endpoints()
