"""The bare book: what it refuses, and how its price list stays in order."""

import random

import pytest

from services.domain.errors import InvariantError
from services.domain.orders import OrderType, Side, TimeInForce
from services.matcher.book import Book, Order


def resting(book: Book, order_id: int, lots: int) -> Order:
    terms = book.shared_terms(OrderType.Limit, TimeInForce.GTC, 1000, 2000)
    return Order(order_id, 1001, f"cid-{order_id}", 0, terms, lots, lots, 0)


@pytest.mark.parametrize("bid", [100, 101])
def test_add_that_crosses_the_book_is_a_broken_invariant(bid: int) -> None:
    book = Book("BTC_USDT")
    book.add(Side.Sell, resting(book, 1, 5), 100)
    with pytest.raises(InvariantError, match="crossed"):
        book.add(Side.Buy, resting(book, 2, 5), bid)


def test_fill_of_more_than_remains_is_a_broken_invariant() -> None:
    book = Book("BTC_USDT")
    order = resting(book, 1, 5)
    book.add(Side.Sell, order, 100)
    with pytest.raises(InvariantError, match="order 1 traded 1 lots more"):
        book.asks.fill(order, 6)


def test_terms_are_kept_once() -> None:
    book = Book("BTC_USDT")
    assert resting(book, 1, 5).terms is resting(book, 2, 5).terms


def test_levels_that_come_and_go_anywhere_stay_in_order() -> None:
    chance = random.Random(5)
    book = Book("BTC_USDT")
    orders: list[Order] = []
    for number in range(600):
        if orders and chance.random() < 0.45:
            book.cancel(orders.pop(chance.randrange(len(orders))))
        else:
            side = chance.choice(list(Side))
            order = resting(book, number, chance.randint(1, 9))
            book.add(side, order, chance.randint(1, 50) if side is Side.Buy else chance.randint(51, 100))
            orders.append(order)
        book.check()
    for order in orders:
        book.cancel(order)
    book.check()
    assert (book.bids.depth(10), book.asks.depth(10), book.asks.best) == ([], [], None)
