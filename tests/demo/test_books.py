"""The auditor of the story: it must notice what is wrong, or it audits nothing."""

from decimal import Decimal
from typing import Any

import pytest

from services.demo.books import Balance, Books, Instrument, plain
from services.demo.client import StoryError


def opened() -> Books:
    """User 1 has 10 B; user 2 has 1,000 Q; one order of each user 1 and 3 rests."""
    books = Books({"B": 2, "Q": 2}, {"B_Q": Instrument("B_Q", "B", "Q", Decimal("0.001"))})
    books.move(1, "B", Decimal(10))
    books.move(3, "B", Decimal(10))
    books.move(2, "Q", Decimal(1000))
    place(books, 1, 11, "Sell", "5", "100")
    place(books, 3, 13, "Sell", "5", "100")
    return books


def place(books: Books, user: int, order_id: int, side: str, quantity: str, price: str, *fills: dict[str, Any]) -> None:
    filled = sum((Decimal(fill["quantity"]) for fill in fills), Decimal(0))
    status = "Filled" if filled == Decimal(quantity) else "PartiallyFilled" if filled else "New"
    order = {"symbol": "B_Q", "side": side, "quantity": quantity, "price": price}
    answer = {"order_id": order_id, "order_status": status, "filled_quantity": str(filled), "fills": list(fills)}
    books.place(user, order, answer)


def fill(price: str, quantity: str, fee: str) -> dict[str, Any]:
    return {"trade_id": 1, "price": price, "quantity": quantity, "fee": fee}


def test_books_trade_moves_both_sides_with_fees_rounded_up_and_improvement_released() -> None:
    books = opened()
    place(books, 2, 12, "Buy", "3", "101", fill("100", "2", "0.01"))
    assert books.balances[2, "B"] == Balance(Decimal("1.99"))
    assert books.balances[2, "Q"] == Balance(Decimal(699), Decimal(101))
    assert books.balances[1, "B"] == Balance(Decimal(5), Decimal(3))
    assert books.balances[1, "Q"] == Balance(Decimal("199.80"))
    assert books.fees == {"B": Decimal("0.01"), "Q": Decimal("0.20")}
    assert books.statuses == {11: (1, "PartiallyFilled"), 12: (2, "PartiallyFilled"), 13: (3, "New")}


def test_books_cancel_frees_what_is_left() -> None:
    books = opened()
    place(books, 2, 12, "Buy", "2", "100", fill("100", "2", "0.01"))
    assert books.cancel(11) == 3
    assert books.balances[1, "B"] == Balance(Decimal(8))
    assert books.depth("B_Q", "Sell") == [["100", "5"]]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (fill("100", "2", "0.02"), "the taker's fee is 0.02, and should be 0.01"),
        (fill("101", "2", "0.01"), "is not what price-time priority gives"),
        (fill("100", "6", "0.01"), "is not what price-time priority gives"),
    ],
)
def test_books_wrong_fill_is_noticed(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StoryError, match=sentence):
        place(opened(), 2, 12, "Buy", "6", "101", wrong)


@pytest.mark.parametrize(("number", "text"), [("10", "10"), ("1.50", "1.5"), ("1E+3", "1000"), ("0.00", "0")])
def test_plain_writes_numbers_as_the_api_does(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
