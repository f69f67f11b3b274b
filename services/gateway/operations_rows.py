"""What the operations view shows, made from what processes said at two moments. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from services.adapters.internal.neighbours import Told
from services.adapters.metrics.figures import Figures, Look, parse
from services.shell.projection_shell import RUNNING
from services.shell.standby import ACTIVE, STANDBY

SILENT: Final = "does not answer"
READY: Final = "ready"
NOT_READY: Final = "not ready"

_SHOWN: Final = (
    "exchange_build_info",
    "exchange_core_active",
    "exchange_freshness_seconds",
    "exchange_gateway_command_seconds",
    "exchange_gateway_commands_in_flight",
    "exchange_gateway_refused_total",
    "exchange_gateway_requests_total",
    "exchange_journal_bytes",
    "exchange_journal_flush_seconds",
    "exchange_lag_frames",
    "exchange_order_stage_seconds",
    "exchange_snapshot_age_seconds",
    "exchange_trades_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)
_STAGES: Final[Sequence[tuple[str, str, dict[str, str]]]] = (
    ("order accepted", "exchange_order_stage_seconds", {"stage": "accepted"}),
    ("order matched", "exchange_order_stage_seconds", {"stage": "matched"}),
    ("order settled", "exchange_order_stage_seconds", {"stage": "settled"}),
    ("in the store: settlement", "exchange_freshness_seconds", {"reader": "settlement"}),
    ("in the store: order_history", "exchange_freshness_seconds", {"reader": "order_history"}),
)
_ROLE: Final = "role"
"""A component's name that says nothing of whether it is well."""


class ProcessRow(msgspec.Struct):
    """One process. `says`: why it is not ready or does not answer, else empty."""

    name: str
    url: Annotated[str, Meta(description="Its internal port; empty for the one that answers.")]
    state: Annotated[str, Meta(description="ready, not ready, or does not answer.")]
    says: str
    components: dict[str, str]
    version: str | None
    memory_bytes: int | None
    started_ms: int | None


class CoreRow(msgspec.Struct):
    """One instance of a core: the active one or a standby."""

    source: str
    process: str
    role: str
    snapshot_age_seconds: float
    journal_bytes: int
    flush_p99_seconds: float | None


class LagRow(msgspec.Struct):
    """How far a reader is behind one partition of the log."""

    process: str
    reader: str
    topic: str
    partition: int
    frames: int


class LatencyRow(msgspec.Struct):
    """From the request to this stage; null when nothing came to it."""

    stage: str
    p50_seconds: float | None
    p99_seconds: float | None


class RefusedRow(msgspec.Struct):
    """Answers that are errors, since the start."""

    code: int
    reject: str
    count: int


class FlowRow(msgspec.Struct):
    """What goes through; null when it is not known yet."""

    requests_per_second: float | None
    trades_per_second: float | None
    commands_in_flight: int
    command_p99_seconds: float | None
    requests: int


class OperationsAnswer(msgspec.Struct):
    """Every process that was asked, and what they say together. `processes` begins with the gateway that answers.

    Rates and quantiles are of the last minute, or since the start when nobody had asked for a minute.
    """

    whole: Annotated[bool, Meta(description="Whether these are all services, and not only those of one process.")]
    processes: list[ProcessRow]
    cores: list[CoreRow]
    lag: list[LagRow]
    latencies: list[LatencyRow]
    flow: FlowRow
    refused: list[RefusedRow]
    trades: Annotated[dict[str, int], Meta(description="Since each symbol exists.")]


def look(told: Told, at_s: float) -> Look:
    """What is kept of a process' answer. Raises ValueError when its metrics cannot be read."""
    return Look(told.name, at_s, told.silent, parse(told.metrics, _SHOWN))


def rows(whole: bool, told: Sequence[Told], before: Sequence[Look], now: Sequence[Look]) -> OperationsAnswer:
    """The answer. told, now: the same processes in the same order. before: as many looks as there were then."""
    since_start = not before
    # A standby does, and counts, all that the active does.
    speaking = Figures(before, [one for one in now if not _is_standby(one)], since_start=since_start)
    return OperationsAnswer(
        whole=whole,
        processes=[_process(one, look) for one, look in zip(told, now, strict=True)],
        cores=[row for one in now for row in _cores(Figures(before, [one], since_start=since_start), one.url)],
        lag=[row for one in now for row in _lag(one)],
        latencies=_latencies(speaking),
        flow=_flow(speaking),
        refused=_refused(speaking),
        trades=_counts(speaking, "exchange_trades_total", "symbol"),
    )


def _process(told: Told, look: Look) -> ProcessRow:
    state = SILENT if told.silent else READY if told.ready else NOT_READY
    one = Figures([], [look])
    memory, start = one.sum("process_resident_memory_bytes"), one.sum("process_start_time_seconds")
    return ProcessRow(
        name=told.name,
        url=told.url,
        state=state,
        says=told.silent or ("" if told.ready else _wrong(told.components)),
        components=dict(told.components),
        version=next((sample.labels["version"] for sample in one.all("exchange_build_info")), None),
        memory_bytes=int(memory) or None,
        started_ms=int(start * 1000) or None,
    )


def _wrong(components: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {state}" for name, state in components.items() if name != _ROLE and state != RUNNING)


def _is_standby(look: Look) -> bool:
    active = look.samples.get("exchange_core_active", ())
    return bool(active) and not any(sample.value for sample in active)


def _cores(one: Figures, process: str) -> list[CoreRow]:
    return [
        CoreRow(
            source=(source := sample.labels["source"]),
            process=process,
            role=ACTIVE if one.sum("exchange_core_active", source=source) else STANDBY,
            snapshot_age_seconds=sample.value,
            journal_bytes=int(one.sum("exchange_journal_bytes", source=source)),
            flush_p99_seconds=one.quantile("exchange_journal_flush_seconds", 0.99, source=source),
        )
        for sample in one.all("exchange_snapshot_age_seconds")
    ]


def _lag(look: Look) -> list[LagRow]:
    return [
        LagRow(look.url, labels["reader"], labels["topic"], int(labels["partition"]), int(value))
        for labels, value in look.samples.get("exchange_lag_frames", ())
    ]


def _latencies(figures: Figures) -> list[LatencyRow]:
    return [
        LatencyRow(stage, *(figures.quantile(name, part, **labels) for part in (0.5, 0.99)))
        for stage, name, labels in _STAGES
        if _has(figures, f"{name}_count", labels)
    ]


def _has(figures: Figures, name: str, labels: Mapping[str, str]) -> bool:
    return any(labels.items() <= sample.labels.items() for sample in figures.all(name))


def _flow(figures: Figures) -> FlowRow:
    return FlowRow(
        requests_per_second=figures.rate("exchange_gateway_requests_total"),
        trades_per_second=figures.rate("exchange_trades_total"),
        commands_in_flight=int(figures.sum("exchange_gateway_commands_in_flight")),
        command_p99_seconds=figures.quantile("exchange_gateway_command_seconds", 0.99),
        requests=int(figures.sum("exchange_gateway_requests_total")),
    )


def _refused(figures: Figures) -> list[RefusedRow]:
    found = [
        RefusedRow(int(labels["code"]), labels["reject"], int(value))
        for labels, value in figures.all("exchange_gateway_refused_total")
    ]
    return sorted(found, key=lambda row: -row.count)


def _counts(figures: Figures, name: str, label: str) -> dict[str, int]:
    known: Collection[str] = {sample.labels[label] for sample in figures.all(name)}
    return {one: int(figures.sum(name, **{label: one})) for one in sorted(known)}
