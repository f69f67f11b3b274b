"""Whether the two cores agree on which orders are open, and on how much of each is left."""

from services.matcher.engine import MatcherEngine
from services.ubscore.state import State
from services.verify.report import Check


def check_open_orders(state: State, engine: MatcherEngine) -> Check:
    """Compare ubscore's open orders with the matcher's books.

    ubscore opens an order before the matcher gets it, and settles a trade after the matcher made it. So it may have
    orders that no book has, or with more left than in the book: these are under way. The other way round is wrong.
    """
    name = "open orders: ubscore and the matcher agree"
    resting = engine.remaining()
    under_way = 0
    for account in state.accounts.values():
        for order in account.orders.values():
            left = resting.pop(order.order_id, None)
            expected = order.quantity_lots - order.filled_lots
            if left is not None and left > expected:
                return Check(name, False, f"order {order.order_id}: {left} lots in the book, {expected} in ubscore")
            under_way += left != expected
    if resting:
        return Check(name, False, f"order {min(resting)} is in a book, but not open in ubscore")
    moving = f", {under_way} under way" if under_way else ""
    return Check(name, True, f"{engine.open_orders:,} in the books{moving}")
