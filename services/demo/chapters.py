"""What happens in the story. Prices are relative to a middle that the market was at, so that no band refuses them."""

from decimal import Decimal
from typing import Final

from services.demo.books import plain
from services.demo.client import USERS
from services.demo.scene import ADMIN, Scene, expect

BTC: Final = "BTC_USDT"
ETH: Final = "ETH_USDT"
DEPOSITS: Final = {"BTC": "10", "ETH": "100", "USDT": "1000000"}
ROUNDS: Final = 14
LEVELS: Final = 10
BUSY_TRADES: Final = ROUNDS * LEVELS
"""Of the busy market alone; with the other chapters' at least 136."""


def deposits(scene: Scene) -> list[str]:
    """Nine transfers in, one sent twice. Returns their event ids."""
    scene.chapter("Three users deposit three assets")
    answers = [scene.deposit(user, asset, amount) for user in USERS for asset, amount in DEPOSITS.items()]
    user, asset = USERS[0], "BTC"
    body = {
        "transfer_id": f"deposit_{user}_{asset}_{scene.run}",
        "user_id": user,
        "asset": asset,
        "amount": DEPOSITS[asset],
    }
    again = scene.api.post("/api/transfers/in", body, ADMIN)
    expect(again == answers[0], f"a deposit sent again was answered with {again}")
    scene.say(f"  {body['transfer_id']} is sent again: the first answer, and nothing moves")
    scene.check_balances()
    scene.show_balances()
    return [answer["event_id"] for answer in answers]


def first_book(scene: Scene, middle: Decimal) -> None:
    scene.chapter("A book: orders rest, and reserve what they need")
    for user, side, offset, quantity in (
        (1001, "Sell", 10, "0.5"),
        (1001, "Sell", 20, "0.4"),
        (1003, "Sell", 20, "0.3"),
        (1002, "Buy", -10, "0.5"),
        (1002, "Buy", -20, "0.6"),
    ):
        scene.place(user, side, BTC, "New", "0", price=plain(middle + offset), quantity=quantity)
    scene.check_balances()
    scene.show_book(BTC)


def order_types(scene: Scene, middle: Decimal) -> None:
    """Every kind of order that there is; nine trades."""
    scene.chapter("Every order type")

    def at(offset: int) -> str:
        return plain(middle + offset)

    place = scene.place
    place(1003, "Buy", BTC, "Filled", "0.2", price=at(10), quantity="0.2")
    place(1002, "Buy", BTC, "PartiallyFilled", "0.3", price=at(15), quantity="0.4")
    place(1003, "Sell", BTC, "Expired", "0.1", price=at(15), quantity="0.3", time_in_force="IOC")
    place(1002, "Buy", BTC, "Expired", "0", price=at(20), quantity="5", time_in_force="FOK")
    place(1002, "Buy", BTC, "Filled", "0.7", price=at(20), quantity="0.7", time_in_force="FOK")
    taker = scene.order(1001, "Sell", BTC, order_type="LimitMaker", price=at(-10), quantity="0.1")
    would_take = (-2010, "WOULD_TAKE_LIQUIDITY")
    first = scene.refused_order("1001 wants to be maker only", 1001, taker, *would_take)
    again = scene.refused_order("he sends it again", 1001, taker, *would_take)
    expect(again == first, f"a refused order sent again was refused with {again}")
    place(1001, "Sell", BTC, "New", "0", price=at(30), quantity="0.4", order_type="LimitMaker")
    place(1003, "Sell", BTC, "Filled", "0.8", quantity="0.8", order_type="Market")
    bought = (Decimal(6000) / (middle + 30)).quantize(Decimal("0.00001"), "ROUND_DOWN")
    place(1002, "Buy", BTC, "Filled", plain(bought), quote_quantity="6000", order_type="Market")
    place(1002, "Sell", BTC, "Expired", "0", price=at(-20), quantity="0.1", self_trade_prevention="ExpireTaker")
    scene.check_balances()
    scene.show_book(BTC)


def busy_market(scene: Scene, middle: Decimal) -> None:
    """Fourteen times somebody quotes ten levels and another takes them all with one order."""
    scene.chapter(f"A busy market: {BUSY_TRADES} trades in ETH_USDT")
    for number in range(ROUNDS):
        maker, taker = USERS[number % 3], USERS[(number + 1) % 3]
        quote, take, sign = ("Sell", "Buy", 1) if number % 2 == 0 else ("Buy", "Sell", -1)
        scene.quiet = True
        for level in range(1, LEVELS + 1):
            price = plain(middle + sign * level * Decimal("0.25"))
            scene.place(
                maker, quote, ETH, "New", "0", price=price, quantity=plain(Decimal("0.05") + Decimal(level) / 100)
            )
        last = plain(middle + sign * LEVELS * Decimal("0.25"))
        scene.quiet = False
        scene.place(taker, take, ETH, "Filled", "1.05", price=last, quantity="1.05")
    scene.check_balances()


def cancels(scene: Scene, middle: Decimal) -> None:
    scene.chapter("Orders are cancelled, and what they reserved is free again")
    for user in USERS:
        for number in range(2):
            price = plain(middle - 100 - number)
            scene.place(user, "Buy", ETH, "New", "0", price=price, quantity="0.5")
    cid = scene.order(1001, "Sell", ETH)["cid"]
    scene.place(1001, "Sell", ETH, "New", "0", price=plain(middle + 100), quantity="2", cid=cid)
    scene.cancel(1001, cid=cid)
    (partly, *_) = scene.books.open_orders(1002)
    scene.cancel(1002, order_id=partly)
    scene.refused(
        f"1002 cancels #{partly} again",
        lambda: scene.api.post("/api/orders/cancel", {"order_id": partly}, 1002, user_id=1002),
        400,
        -2011,
        "UNKNOWN_ORDER",
    )
    for user in USERS:
        scene.cancel_all(user)
    expect(not scene.books.resting, "the auditor still has orders on the book")
    scene.check_balances()


def withdrawal_and_refusals(scene: Scene, middle: Decimal) -> None:
    scene.chapter("A withdrawal, and what is refused")
    api = scene.api
    scene.withdraw(1003, "ETH", "1.5")
    much = {"transfer_id": f"too_much_{scene.run}", "user_id": 1003, "asset": "ETH", "amount": "1000000000"}
    short = (400, -2010, "INSUFFICIENT_BALANCE")
    scene.refused("1003 withdraws a billion ETH", lambda: api.post("/api/transfers/out", much, ADMIN), *short)
    scene.refused("1003 tries it again", lambda: api.post("/api/transfers/out", much, ADMIN), *short)
    at = plain(middle)
    beyond = scene.order(1001, "Buy", BTC, price=at, quantity="100000")
    scene.refused_order("1001 buys more than he can pay", 1001, beyond, -2010, "INSUFFICIENT_BALANCE")
    good = scene.order(1001, "Buy", BTC, price=at, quantity="0.01")
    first = scene.place(1001, "Buy", BTC, "New", "0", price=at, quantity="0.01", cid=good["cid"])
    again = api.post("/api/orders", good, 1001, user_id=1001)
    expect(again["order_id"] == first["order_id"], f"an order sent again was answered with {again}")
    scene.say(f"  the same order is sent again: the first answer, #{again['order_id']}")
    scene.refused_order(
        "another order with its cid", 1001, good | {"quantity": "0.02"}, -2010, "DUPLICATE_CLIENT_ORDER_ID"
    )
    small = scene.order(1001, "Buy", BTC, price=at, quantity="0.00001")
    scene.refused_order("an order of less than the minimum notional", 1001, small, -1013, "MIN_NOTIONAL")
    scene.cancel(1001, cid=good["cid"])
    _refused_at_the_door(scene, at)
    scene.check_balances()


def _refused_at_the_door(scene: Scene, at: str) -> None:
    """What never becomes a command."""
    api = scene.api

    def order(**changes: str) -> dict[str, object]:
        return scene.order(1001, "Buy", BTC, price=at, quantity="0.01") | changes

    def place(body: dict[str, object], user: int = 1001) -> object:
        return api.post("/api/orders", body, 1001, user_id=user)

    own = {"transfer_id": "mine", "user_id": 1001, "asset": "BTC", "amount": "1"}
    scene.refused("an unknown symbol", lambda: place(order(symbol="DOGE_USDT")), 400, -1121, "UNKNOWN_SYMBOL")
    scene.refused("half a tick", lambda: place(order(price="50000.005")), 400, -1111)
    scene.refused("a price that is no number", lambda: place(order(price="NaN")), 400, -1100)
    scene.refused("an unknown field", lambda: place(order(colour="red")), 400, -1101)
    scene.refused("1001 trades for 1002", lambda: place(order(), 1002), 403, -1002)
    scene.refused("1001 deposits for himself", lambda: api.post("/api/transfers/in", own, 1001), 403, -1002)
    scene.refused("somebody without a key", lambda: api.get("/api/balances", user_id=1001), 401, -1002)
