"""What a replay did, as tables."""

from rich.console import Console
from rich.table import Table

from services.domain.money import format_units
from services.replay.compare import DEPTHS, Comparison, LevelState, Shares
from services.replay.lobster import PRICE_SCALE
from services.replay.player import Report


def show_report(console: Console, report: Report, symbol: str) -> None:
    """Print the summary, the book at the end, and the comparison when there was one."""
    console.print(_summary(report))
    console.print(_book(report, symbol))
    if report.comparison is not None:
        console.print(_shares(report.comparison))
        console.print(_states(report.comparison))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table


def _summary(report: Report) -> Table:
    table = _table("Replay", "what", "count")
    for kind, count in report.messages.items():
        table.add_row(f"messages: {kind}", f"{count:,}")
    table.add_section()
    for what, number in (
        ("orders seeded from the first book row", report.seeded),
        ("orders accepted", report.orders),
        ("  of them placed out of the file's sight", report.late_orders),
        ("cancels", report.cancels),
        ("trades", report.trades),
        ("shares traded", report.shares_traded),
        ("recorded executions sent", report.executions),
        ("  of them met exactly the recorded order", report.executions_met),
        ("resting orders that traded at once (none did)", report.crossed),
        ("refused", report.rejects.total()),
    ):
        table.add_row(what, f"{number:,}")
    for code, count in sorted(report.rejects.items()):
        table.add_row(f"  {code}", f"[red]{count:,}[/]")
    table.add_section()
    table.add_row("commands", f"{report.commands:,}")
    table.add_row("seconds", f"{report.seconds:.2f}")
    table.add_row("commands a second" + (", each awaited" if report.comparison else ""), f"{report.rate:,.0f}")
    return table


def _book(report: Report, symbol: str) -> Table:
    table = _table(f"{symbol} at the end", "bid size", "bid", "ask", "ask size")
    assert report.book is not None
    bids, asks = report.book.bids, report.book.asks
    for place in range(max(len(bids), len(asks))):
        bid = (str(bids[place][1]), _price(bids[place][0])) if place < len(bids) else ("", "")
        ask = (_price(asks[place][0]), str(asks[place][1])) if place < len(asks) else ("", "")
        table.add_row(bid[0], f"[green]{bid[1]}[/]", f"[red]{ask[0]}[/]", ask[1])
    return table


def _price(price: int) -> str:
    return format_units(price, PRICE_SCALE)


def _shares(comparison: Comparison) -> Table:
    table = _table("Our book against the recorded one", "levels", "compared", "equal", "share")
    for depth in DEPTHS:
        name = "best of each side" if depth == 1 else f"best {depth} of each side"
        _add_shares(table, f"{name}, at the same place", comparison.places[depth])
    _add_shares(table, "levels that the file told all about, by price", comparison.known)
    _add_shares(table, "whole rows", Shares(comparison.equal_rows, comparison.rows))
    return table


def _add_shares(table: Table, name: str, shares: Shares) -> None:
    table.add_row(name, f"{shares.compared:,}", f"{shares.equal:,}", f"{shares.share:.2%}")


def _states(comparison: Comparison) -> Table:
    table = _table("Every recorded level, and why", "", "levels", "because")
    table.columns[2].justify = "left"
    for state in LevelState:
        table.add_row(state.name.lower(), f"{comparison.states[state]:,}", state.value)
    extra = "the recorded book lacks this level of ours: its orders were deleted while out of sight"
    table.add_row("extra", f"{comparison.extra - comparison.unexplained:,}", extra)
    unexplained = "the recorded book lacks this level of ours, which never was out of sight"
    table.add_row("unexplained", f"{comparison.unexplained:,}", unexplained)
    if comparison.first_difference:
        table.caption = f"The first different level is at message {comparison.first_difference}."
    return table
