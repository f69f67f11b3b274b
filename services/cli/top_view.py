"""What `exchange top` shows: tables of rich, made from the figures."""

import time
from collections.abc import Sequence
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.adapters.metrics.figures import Figures, Look

BEHIND_FRAMES: Final = 1_000
STALE_SNAPSHOT_S: Final = 3_600.0
_SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_NONE: Final = "–"

_LATENCIES: Final[Sequence[tuple[str, str, dict[str, str]]]] = (
    ("order accepted", "exchange_order_stage_seconds", {"stage": "accepted"}),
    ("order matched", "exchange_order_stage_seconds", {"stage": "matched"}),
    ("order settled", "exchange_order_stage_seconds", {"stage": "settled"}),
    ("order answered", "exchange_gateway_command_seconds", {"command": "PlaceOrder"}),
    ("cancel answered", "exchange_gateway_command_seconds", {"command": "CancelOrder"}),
    ("balances read", "exchange_gateway_request_seconds", {"route": "/api/balances"}),
    ("trade in the store", "exchange_freshness_seconds", {"reader": "settlement"}),
    ("order in the store", "exchange_freshness_seconds", {"reader": "order_history"}),
)


def screen(figures: Figures) -> RenderableType:
    """Everything that is known."""
    return Group(
        _verdict(figures.now),
        _processes(figures.now),
        _beside(_flow(figures), _latencies(figures)),
        _beside(_cores(figures), _markets(figures)),
        *_filled(_lag(figures)),
    )


def _beside(*tables: Table) -> RenderableType:
    """In one line when the terminal is wide enough for both."""
    return Columns(_filled(*tables), padding=(0, 4))


def _filled(*tables: Table) -> list[Table]:
    return [table for table in tables if table.row_count]


def _verdict(looks: Sequence[Look]) -> RenderableType:
    wrong = sum(1 for look in looks if look.problem)
    if wrong:
        return Panel(Text(f"■ not ready: {wrong} of {len(looks)} processes", style="bold red"), border_style="red")
    return Panel(
        Text(f"● ready: {_count(len(looks), 'process', 'processes')}", style="bold green"), border_style="green"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _table(title: str, *columns: str, words: int = 1) -> Table:
    """words: so many columns are text; the others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at < words else "right", header_style="dim")
    return table


def _processes(looks: Sequence[Look]) -> Table:
    table = _table("\nProcesses", "address", "state", "version", "memory", "up for", words=2)
    for look in looks:
        state = Text(f"■ {look.problem}", style="red") if look.problem else Text("● running", style="green")
        one = Figures([], [look])
        version = next((sample.labels["version"] for sample in one.all("exchange_build_info")), _NONE)
        start, memory = one.sum("process_start_time_seconds"), one.sum("process_resident_memory_bytes")
        up = duration(time.time() - start) if start else _NONE
        table.add_row(look.url.removeprefix("http://"), state, version, size(memory) if memory else _NONE, up)
    return table


def _flow(figures: Figures) -> Table:
    table = _table("\nFlow", "", "per second", "in all")
    for name, metric in (
        ("requests", "exchange_gateway_requests_total"),
        ("commands", "exchange_gateway_commands_total"),
        ("refused", "exchange_gateway_refused_total"),
        ("trades", "exchange_trades_total"),
        ("rows written", "exchange_projection_rows_total"),
        ("store retries", "exchange_store_retries_total"),
    ):
        if figures.known(metric):
            rate = figures.rate(metric)
            table.add_row(name, _NONE if rate is None else f"{rate:,.1f}", f"{figures.sum(metric):,.0f}")
    if figures.known("exchange_gateway_commands_in_flight"):
        table.add_row("in flight", "", f"{figures.sum('exchange_gateway_commands_in_flight'):,.0f}")
    return table


def _latencies(figures: Figures) -> Table:
    title = "\nFrom request to …, since the start" if figures.since_start else "\nFrom request to …"
    table = _table(title, "", "half within", "99 % within")
    for name, metric, labels in _LATENCIES:
        if figures.known(f"{metric}_bucket"):
            half, most = (figures.quantile(metric, part, **labels) for part in (0.5, 0.99))
            table.add_row(name, *(_NONE if found is None else duration(found) for found in (half, most)))
    return table


def _cores(figures: Figures) -> Table:
    """One row an instance: a core and its standby have the same name."""
    table = _table("\nCores", "core", "role", "snapshot", "journal", "flush, 99 %", "takeovers", words=2)
    for look in figures.now:
        one = Figures([], [look])
        for sample in one.all("exchange_snapshot_age_seconds"):
            source = sample.labels["source"]
            active = one.sum("exchange_core_active", source=source) > 0
            role = Text("● active", style="green") if active else Text("○ standby", style="cyan")
            age = Text(duration(sample.value), style="yellow" if sample.value > STALE_SNAPSHOT_S else "")
            flush = one.quantile("exchange_journal_flush_seconds", 0.99, source=source)
            takeovers = one.sum("exchange_core_takeovers_total", source=source)
            journal = size(one.sum("exchange_journal_bytes", source=source))
            table.add_row(source, role, age, journal, _NONE if flush is None else duration(flush), f"{takeovers:,.0f}")
    return table


def _lag(figures: Figures) -> Table:
    table = _table("\nBehind the log", "reader", "log", "frames", "records not stored", words=2)
    for sample in figures.all("exchange_lag_frames"):
        labels = sample.labels
        late = sample.value > BEHIND_FRAMES
        behind = Text(f"■ {sample.value:,.0f}" if late else f"{sample.value:,.0f}", style="red" if late else "")
        unwritten = ""
        if any(one.labels == labels for one in figures.all("exchange_projection_unwritten_records")):
            unwritten = f"{figures.sum('exchange_projection_unwritten_records', **labels):,.0f}"
        table.add_row(labels["reader"], f"{labels['topic']}-{labels['partition']}", behind, unwritten)
    return table


def _markets(figures: Figures) -> Table:
    table = _table("\nMarkets", "symbol", "state", "last price", "spread", "trades", "trades/s", words=2)
    # Every account shard knows every symbol.
    known = {sample.labels["symbol"]: sample.labels["status"] for sample in figures.all("exchange_symbol_info")}
    for symbol, status in known.items():
        open_ = status == "Trading"
        state = Text(f"{'●' if open_ else '■'} {status}", style="green" if open_ else "yellow")
        rate = figures.rate("exchange_trades_total", symbol=symbol)
        table.add_row(
            symbol,
            state,
            _price(figures, "exchange_last_price_ticks", symbol),
            _price(figures, "exchange_book_spread_ticks", symbol),
            f"{figures.sum('exchange_trades_total', symbol=symbol):,.0f}",
            _NONE if rate is None else f"{rate:,.1f}",
        )
    return table


def _price(figures: Figures, metric: str, symbol: str) -> str:
    # A standby says the same as the one that speaks, and each account shard the same tick.
    ticks, size_ = (
        next((sample.value for sample in figures.all(name) if sample.labels["symbol"] == symbol), None)
        for name in (metric, "exchange_symbol_tick_size")
    )
    return _NONE if ticks is None or size_ is None else f"{ticks * size_:,.10g}"


def duration(seconds: float) -> str:
    """For people: two or three digits and a unit."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"


def size(count: float) -> str:
    """Bytes, for people."""
    return next((f"{count / unit:.1f} {name}" for unit, name in _SIZES if count >= unit), f"{count:.0f} B")
