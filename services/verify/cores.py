"""Whether the cores agree on which orders are open, and on how much of each is left."""

from collections.abc import Sequence

from services.matcher.engine import MatcherEngine
from services.ubscore.state import State
from services.verify.report import Check


def check_open_orders(states: Sequence[State], engines: Sequence[MatcherEngine]) -> Check:
    """Compare the open orders of all account shards with the books of all matchers.

    ubscore opens an order before the matcher gets it, and settles a trade after the matcher made it. So it may have
    orders that no book has, or with more left than in the book: these are under way. The other way round is wrong.
    """
    name = "open orders: ubscore and the matcher agree"
    resting: dict[int, int] = {}
    for engine in engines:
        resting |= engine.remaining()
    open_orders, under_way = len(resting), 0
    for account in [account for state in states for account in state.accounts.values()]:
        for order in account.orders.values():
            left = resting.pop(order.order_id, None)
            expected = order.quantity_lots - order.filled_lots
            if left is not None and left > expected:
                return Check(name, False, f"order {order.order_id}: {left} lots in the book, {expected} in ubscore")
            under_way += left != expected
    if resting:
        return Check(name, False, f"order {min(resting)} is in a book, but not open in ubscore")
    moving = f", {under_way} under way" if under_way else ""
    return Check(name, True, f"{open_orders:,} in the books{moving}")
