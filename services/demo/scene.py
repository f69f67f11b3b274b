"""What all chapters share: do something through the API, say so in a line, and check it against the auditor's books."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from services.demo.books import OPEN, Books, Instrument, plain
from services.demo.client import USERS, Api, Refusal, StoryError

ADMIN: Final = 0
_COLOURS: Final = {"Filled": "green", "Rejected": "red", "Cancelled": "yellow", "Expired": "yellow"}


class Scene:
    """One run of the story. run: 1, 2, 3 … on the same exchange; it is in every client order id and transfer id."""

    def __init__(self, api: Api, console: Console, run: int) -> None:
        self.api = api
        self.console = console
        self.run = run
        self.books = _open_books(api)
        self.quiet = False
        self._cids = 0

    def say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, highlight=False, soft_wrap=True)

    def chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")

    def deposit(self, user: int, asset: str, amount: str) -> dict[str, Any]:
        """Credit a user; the transfer's id is deposit_<user>_<asset>_<run>."""
        return self._transfer("in", f"deposit_{user}_{asset}_{self.run}", user, asset, amount)

    def withdraw(self, user: int, asset: str, amount: str) -> dict[str, Any]:
        return self._transfer("out", f"withdrawal_{user}_{asset}_{self.run}", user, asset, amount)

    def _transfer(self, way: str, transfer_id: str, user: int, asset: str, amount: str) -> dict[str, Any]:
        body = {"transfer_id": transfer_id, "user_id": user, "asset": asset, "amount": amount}
        answer: dict[str, Any] = self.api.post(f"/api/transfers/{way}", body, ADMIN)
        self.books.move(user, asset, Decimal(amount) if way == "in" else -Decimal(amount))
        after = self.books.balances[user, asset]
        expect(answer["status"] == "Completed", f"transfer {transfer_id} is {answer['status']}")
        expect(
            (Decimal(answer["available"]), Decimal(answer["reserved"])) == (after.available, after.reserved),
            f"after {transfer_id} the answer says {answer}, and it should be {after}",
        )
        verb = "deposits" if way == "in" else "withdraws"
        self.say(f"  {user} {verb} [cyan]{amount} {asset}[/]   event [dim]{answer['event_id']}[/]")
        return answer

    def place(self, user: int, side: str, symbol: str, status: str, filled: str, **order: str) -> dict[str, Any]:
        """Place an order that must be accepted, and end with `status` and `filled` base.

        order: price, quantity, quote_quantity, order_type, time_in_force, self_trade_prevention.
        """
        body = self.order(user, side, symbol, **order)
        answer: dict[str, Any] = self.api.post("/api/orders", body | {"response": "FULL"}, user, user_id=user)
        got = (answer["order_status"], answer["filled_quantity"])
        expect(got == (status, filled), f"order {body} came to {got}, and should have to {(status, filled)}")
        self.books.place(user, body, answer)
        self.say(f"  {user} {_words(body)}: {_coloured(answer)}")
        return answer

    def order(self, user: int, side: str, symbol: str, **order: str) -> dict[str, Any]:
        """An order's body, with the next client order id."""
        self._cids += 1
        cid = f"story-{self.run:04d}-{user}-{self._cids:05d}"
        return {"cid": cid, "symbol": symbol, "side": side, "order_type": "Limit", **order}

    def refused(self, what: str, call: Callable[[], Any], status: int, code: int, reject: str = "") -> dict[str, Any]:
        """Do something that must be refused with these numbers. Returns the refusal."""
        try:
            answer = call()
        except Refusal as refusal:
            got = (refusal.status, refusal.code, refusal.reject)
            expect(got == (status, code, reject), f"{what}: refused with {got}, and should be with {status} {code}")
            self.say(f"  {what}: [red]{refusal.status} {code}[/] {refusal.body['msg']}")
            return refusal.body
        raise StoryError(f"{what}: should be refused, and was answered with {answer}")

    def refused_order(self, what: str, user: int, body: dict[str, Any], code: int, reject: str) -> dict[str, Any]:
        """Place an order that must be refused by the exchange itself: it gets an id, and its refusal is history."""
        refusal = self.refused(what, lambda: self.api.post("/api/orders", body, user, user_id=user), 400, code, reject)
        expect(refusal["order_status"] == "Rejected", f"{what}: {refusal}")
        self.books.statuses[refusal["order_id"]] = (user, "Rejected")
        return refusal

    def cancel(self, user: int, **which: Any) -> None:
        """Cancel one order by its `order_id` or `cid`."""
        answer = self.api.post("/api/orders/cancel", which, user, user_id=user)
        expect(answer["order_status"] == "Cancelled", f"cancel of {which} answered {answer}")
        freed = self.books.cancel(answer["order_id"])
        named = ", ".join(f"{key} {value}" for key, value in which.items())
        self.say(f"  {user} cancels by {named}: {_coloured(answer)}, {plain(freed)} free again")

    def cancel_all(self, user: int) -> None:
        answer = self.api.post("/api/orders/cancel_all", {}, user, user_id=user)
        ids = sorted(order["order_id"] for order in answer["orders"])
        expect(ids == sorted(self.books.open_orders(user)), f"cancel_all of {user} cancelled {ids}")
        for order_id in ids:
            self.books.cancel(order_id)
        self.say(f"  {user} cancels all: {len(ids)} orders")

    def check_balances(self) -> None:
        """Every balance of everybody is what the auditor says, to the smallest unit, and so is every book."""
        for user in USERS:
            for balance in self.api.get("/api/balances", user, user_id=user)["balances"]:
                mine = self.books.balances[user, balance["asset"]]
                expect(
                    (Decimal(balance["available"]), Decimal(balance["reserved"])) == (mine.available, mine.reserved),
                    f"user {user}: the exchange says {balance}, the auditor {mine}",
                )
        for symbol in self.books.instruments:
            depth = self.api.get("/api/depth", symbol=symbol, limit=1000)
            mine_bids, mine_asks = self.books.depth(symbol, "Buy"), self.books.depth(symbol, "Sell")
            expect([depth["bids"], depth["asks"]] == [mine_bids, mine_asks], f"the book of {symbol} is {depth}")
        self.say("  [green]✓[/] every balance and every book is what the auditor says")

    def show_balances(self) -> None:
        table = Table("user", "asset", "available", "reserved")
        for column in table.columns[2:]:
            column.justify = "right"
        for user in USERS:
            for asset in sorted({asset for owner, asset in self.books.balances if owner == user}):
                mine = self.books.balances[user, asset]
                table.add_row(str(user), asset, plain(mine.available), plain(mine.reserved))
            table.add_section()
        self.console.print(table)

    def show_book(self, symbol: str) -> None:
        table = Table("bid size", "bid", "ask", "ask size", title=symbol, title_justify="left")
        bids, asks = self.books.depth(symbol, "Buy"), self.books.depth(symbol, "Sell")
        for place in range(max(len(bids), len(asks))):
            bid = bids[place] if place < len(bids) else ["", ""]
            ask = asks[place] if place < len(asks) else ["", ""]
            table.add_row(bid[1], f"[green]{bid[0]}[/]", f"[red]{ask[0]}[/]", ask[1])
        self.console.print(table)


def expect(condition: bool, sentence: str) -> None:
    """Raises StoryError with the sentence when the condition does not hold."""
    if not condition:
        raise StoryError(sentence)


def _open_books(api: Api) -> Books:
    """The auditor's books, opened with what everybody owns now. Nobody may have anything on a book."""
    listed = api.get("/api/symbols")
    fees = {one["name"]: Decimal(one["maker_fee_micros"]) / 1_000_000 for one in listed["symbols"]}
    for one in listed["symbols"]:
        expect(one["maker_fee_micros"] == one["taker_fee_micros"], f"{one['name']}: the story wants one fee for both")
    instruments = {
        one["name"]: Instrument(one["name"], one["base"], one["quote"], fees[one["name"]]) for one in listed["symbols"]
    }
    books = Books({asset["name"]: asset["scale"] for asset in listed["assets"]}, instruments)
    for user in USERS:
        for balance in api.get("/api/balances", user, user_id=user)["balances"]:
            mine = books.balances[user, balance["asset"]]
            mine.available, mine.reserved = Decimal(balance["available"]), Decimal(balance["reserved"])
            expect(mine.reserved == 0, f"user {user} has reserved {mine.reserved} {balance['asset']} without an order")
    for symbol in instruments:
        depth = api.get("/api/depth", symbol=symbol)
        expect(
            not depth["bids"] and not depth["asks"], f"somebody else has orders in {symbol}: the story needs it empty"
        )
    return books


def _words(body: dict[str, Any]) -> str:
    kind = " ".join(body[key] for key in ("order_type", "time_in_force") if key in body)
    amount = body.get("quantity") or f"{body['quote_quantity']} worth"
    price = f" at [cyan]{body['price']}[/]" if "price" in body else ""
    verb = "buys" if body["side"] == "Buy" else "sells"
    return f"{verb} [cyan]{amount}[/] {body['symbol']}{price} [dim]({kind})[/]"


def _coloured(answer: dict[str, Any]) -> str:
    status = answer["order_status"]
    colour = _COLOURS.get(status, "blue" if status in OPEN else "white")
    filled = f", {answer['filled_quantity']} filled" if Decimal(answer["filled_quantity"]) else ""
    return f"[{colour}]{status}[/] #{answer['order_id']}{filled}"
