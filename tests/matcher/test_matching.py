"""Every order type and every rule of matching, on the fast engine and on its oracle: one suite, two venues."""

from typing import Any

import pytest

from services.domain.messages import CancelRequest, Closed, LevelChange, MatchBody, NewOrder
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject
from tests.support.matcher_commands import buy, cancel, sell
from tests.support.venues import EngineVenue, NaiveVenue, Venue

MAKER: dict[str, Any] = {"user_id": 1002}
IOC: dict[str, Any] = {"time_in_force": TimeInForce.IOC}
FOK: dict[str, Any] = {"time_in_force": TimeInForce.FOK}
MARKET: dict[str, Any] = {"order_type": OrderType.Market}
POST_ONLY: dict[str, Any] = {"order_type": OrderType.LimitMaker}


def statuses(body: MatchBody) -> list[tuple[int, str]]:
    return [(update.order_id, update.status.name) for update in body.updates]


def fills(body: MatchBody) -> list[tuple[int, int, int]]:
    """(maker order, price, quantity) of every trade."""
    return [(trade.maker_order_id, trade.price_ticks, trade.quantity_lots) for trade in body.trades]


def endings(closes: list[Closed]) -> list[tuple[int, str, int]]:
    return [(closed.order_id, closed.status.name, closed.remaining_lots) for closed in closes]


class MatchingContract:
    """What any matcher must do."""

    venue: Venue

    def make(self) -> Venue:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _fresh(self) -> None:
        self.venue = self.make()

    def rest(self, *orders: NewOrder) -> None:
        for order in orders:
            body, closes = self.venue.handle(order)
            assert statuses(body) == [(order.order_id, "New")]
            assert closes == []

    def send(self, command: NewOrder | CancelRequest) -> tuple[MatchBody, list[Closed]]:
        return self.venue.handle(command)

    def book(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return self.venue.depth("BTC_USDT")

    # Limit orders

    def test_limit_without_counterpart_rests_and_shows_in_depth(self) -> None:
        body, closes = self.send(buy(1, 100, 5))
        assert (body.order_id, body.user_id, body.symbol, body.code) == (1, 1001, "BTC_USDT", Reject.NONE)
        assert (body.request_id, body.time_ms) == (501, 1_700_000_000_000)
        assert statuses(body) == [(1, "New")]
        assert body.levels == [LevelChange(Side.Buy, 100, 5)]
        assert (body.trades, closes) == ([], [])
        assert self.book() == ([(100, 5)], [])
        assert self.venue.last_price("BTC_USDT") == 0

    def test_limit_that_does_not_reach_the_other_side_does_not_trade(self) -> None:
        self.rest(sell(1, 101, 5, **MAKER), buy(2, 100, 5))
        assert self.book() == ([(100, 5)], [(101, 5)])

    def test_limit_equal_to_best_price_trades_whole_at_the_makers_price(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER, maker_fee_micros=7))
        body, closes = self.send(buy(2, 103, 5, taker_fee_micros=9))
        trade = body.trades[0]
        assert (trade.trade_id, trade.price_ticks, trade.quantity_lots, trade.taker_side) == (1, 100, 5, Side.Buy)
        assert (trade.maker_order_id, trade.taker_order_id) == (1, 2)
        assert (trade.maker_user_id, trade.taker_user_id) == (1002, 1001)
        assert (trade.maker_fee_micros, trade.taker_fee_micros) == (7, 9)
        assert statuses(body) == [(2, "New"), (2, "Filled"), (1, "Filled")]
        assert endings(closes) == [(1, "Filled", 0), (2, "Filled", 0)]
        assert body.levels == [LevelChange(Side.Sell, 100, 0)]
        assert self.book() == ([], [])
        assert self.venue.last_price("BTC_USDT") == 100

    def test_limit_updates_say_all_of_both_sides_after_every_trade(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER, cid="the-maker", time_ms=111))
        body, _ = self.send(buy(2, 103, 8, cid="the-taker", time_ms=222))
        new, taker, maker = body.updates
        assert (new.filled_lots, new.last_quantity_lots, new.trade_id, new.is_maker) == (0, 0, 0, False)
        assert (taker.cid, taker.created_ms, taker.price_ticks, taker.quantity_lots) == ("the-taker", 222, 103, 8)
        assert (taker.filled_lots, taker.filled_tick_lots, taker.status) == (5, 500, OrderStatus.PartiallyFilled)
        assert (taker.last_price_ticks, taker.last_quantity_lots, taker.trade_id) == (100, 5, 1)
        assert not taker.is_maker
        assert (maker.cid, maker.created_ms, maker.price_ticks, maker.side) == ("the-maker", 111, 100, Side.Sell)
        assert (maker.filled_lots, maker.filled_tick_lots, maker.is_maker) == (5, 500, True)

    def test_limit_larger_than_the_book_rests_the_remainder(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 100, 8))
        assert statuses(body) == [(2, "New"), (2, "PartiallyFilled"), (1, "Filled")]
        assert endings(closes) == [(1, "Filled", 0)]
        assert body.levels == [LevelChange(Side.Sell, 100, 0), LevelChange(Side.Buy, 100, 3)]
        assert self.book() == ([(100, 3)], [])

    def test_remainder_that_rested_trades_on_as_maker(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        self.send(buy(2, 101, 8))
        body, closes = self.send(sell(3, 101, 3, **MAKER))
        assert (body.updates[2].filled_lots, body.updates[2].filled_tick_lots) == (8, 500 + 303)
        assert endings(closes) == [(2, "Filled", 0), (3, "Filled", 0)]

    def test_better_price_matches_before_older_order(self) -> None:
        self.rest(sell(1, 102, 1, **MAKER), sell(2, 100, 1, **MAKER), sell(3, 101, 1, **MAKER))
        body, _ = self.send(buy(4, 102, 3))
        assert fills(body) == [(2, 100, 1), (3, 101, 1), (1, 102, 1)]
        assert [level.price_ticks for level in body.levels] == [100, 101, 102]

    def test_better_bid_matches_before_older_order(self) -> None:
        self.rest(buy(1, 98, 1, **MAKER), buy(2, 100, 1, **MAKER), buy(3, 99, 1, **MAKER))
        body, _ = self.send(sell(4, 98, 3))
        assert fills(body) == [(2, 100, 1), (3, 99, 1), (1, 98, 1)]

    def test_older_order_matches_first_at_one_price(self) -> None:
        self.rest(*(sell(number, 100, 2, **MAKER) for number in (3, 1, 2)))
        body, _ = self.send(buy(4, 100, 5))
        assert fills(body) == [(3, 100, 2), (1, 100, 2), (2, 100, 1)]
        assert body.levels == [LevelChange(Side.Sell, 100, 1)]

    def test_partly_filled_maker_keeps_its_place_in_line(self) -> None:
        self.rest(sell(1, 100, 4, **MAKER), sell(2, 100, 4, **MAKER))
        self.send(buy(3, 100, 1))
        body, _ = self.send(buy(4, 100, 4))
        assert fills(body) == [(1, 100, 3), (2, 100, 1)]

    def test_trade_ids_count_per_symbol(self) -> None:
        for number, symbol in enumerate(("BTC_USDT", "ETH_USDT", "BTC_USDT")):
            self.send(sell(10 * number + 1, 100, 1, **MAKER, symbol=symbol))
            body, _ = self.send(buy(10 * number + 2, 100, 1, symbol=symbol))
            assert body.trades[0].trade_id == (1, 1, 2)[number]

    def test_huge_numbers_trade_exactly(self) -> None:
        # ubscore keeps every notional within 2**63 - 1, so that sums of ticks × lots are, too.
        price, quantity = 7 * 2**31 + 1, 2**29 - 1
        self.rest(sell(1, price, quantity, **MAKER))
        body, _ = self.send(buy(2, price, quantity))
        assert body.updates[-1].filled_tick_lots == price * quantity
        self.rest(sell(3, 1, 2**63 - 1, **MAKER))
        assert self.book() == ([], [(1, 2**63 - 1)])

    # Immediate or cancel, fill or kill

    def test_ioc_that_fills_partly_expires_the_remainder(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 100, 8, **IOC))
        assert statuses(body) == [(2, "New"), (2, "PartiallyFilled"), (1, "Filled"), (2, "Expired")]
        assert endings(closes) == [(1, "Filled", 0), (2, "Expired", 3)]
        assert self.book() == ([], [])

    def test_ioc_without_counterpart_expires_whole(self) -> None:
        body, closes = self.send(buy(1, 100, 8, **IOC))
        assert statuses(body) == [(1, "New"), (1, "Expired")]
        assert endings(closes) == [(1, "Expired", 8)]
        assert body.levels == []

    def test_fok_with_exactly_enough_fills(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 101, 3, **MAKER))
        body, closes = self.send(buy(3, 101, 8, **FOK))
        assert fills(body) == [(1, 100, 5), (2, 101, 3)]
        assert endings(closes)[-1] == (3, "Filled", 0)

    def test_fok_one_lot_short_expires_and_touches_nothing(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 101, 3, **MAKER), sell(3, 102, 9, **MAKER))
        before = self.book()
        body, closes = self.send(buy(4, 101, 9, **FOK))
        assert statuses(body) == [(4, "New"), (4, "Expired")]
        assert endings(closes) == [(4, "Expired", 9)]
        assert (body.trades, body.levels, self.book()) == ([], [], before)

    def test_fok_with_own_order_in_the_way_expires(self) -> None:
        self.rest(sell(1, 100, 5), sell(2, 100, 5, **MAKER))
        for number, mode in ((3, SelfTradePrevention.ExpireTaker), (4, SelfTradePrevention.ExpireBoth)):
            body, _ = self.send(buy(number, 100, 5, **FOK, self_trade_prevention=mode))
            assert statuses(body) == [(number, "New"), (number, "Expired")]
        assert self.book() == ([], [(100, 10)])

    def test_fok_that_fills_before_its_own_order_fills(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 100, 5))
        body, _ = self.send(buy(3, 100, 5, **FOK))
        assert fills(body) == [(1, 100, 5)]

    def test_fok_expiring_makers_does_not_count_its_own_orders(self) -> None:
        self.rest(sell(1, 100, 5), sell(2, 100, 5, **MAKER))
        mode = SelfTradePrevention.ExpireMaker
        body, _ = self.send(buy(3, 100, 6, **FOK, self_trade_prevention=mode))
        assert statuses(body) == [(3, "New"), (3, "Expired")]
        body, closes = self.send(buy(4, 100, 5, **FOK, self_trade_prevention=mode))
        assert statuses(body) == [(4, "New"), (1, "Expired"), (4, "Filled"), (2, "Filled")]
        assert endings(closes) == [(1, "Expired", 5), (2, "Filled", 0), (4, "Filled", 0)]

    # Post-only

    def test_limit_maker_that_would_take_is_rejected(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 100, 5, **POST_ONLY))
        assert statuses(body) == [(2, "Rejected")]
        assert body.updates[0].code is Reject.WOULD_TAKE_LIQUIDITY
        assert closes == [Closed(2, 1001, OrderStatus.Rejected, 5, Reject.WOULD_TAKE_LIQUIDITY)]
        assert body.code is Reject.NONE
        assert self.book() == ([], [(100, 5)])

    def test_limit_maker_against_own_order_is_rejected_whatever_the_mode(self) -> None:
        self.rest(sell(1, 100, 5))
        for number, mode in enumerate(SelfTradePrevention, start=2):
            body, _ = self.send(buy(number, 100, 5, **POST_ONLY, self_trade_prevention=mode))
            assert statuses(body) == [(number, "Rejected")]

    def test_limit_maker_that_does_not_take_rests(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), buy(2, 99, 5, **POST_ONLY))
        body, _ = self.send(sell(3, 99, 5, **MAKER))
        assert body.updates[2].order_type is OrderType.LimitMaker

    # Market orders

    def test_market_by_quantity_sweeps_levels(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 103, 5, **MAKER))
        body, closes = self.send(buy(3, 110, 7, **MARKET))
        assert fills(body) == [(1, 100, 5), (2, 103, 2)]
        assert endings(closes) == [(1, "Filled", 0), (3, "Filled", 0)]

    def test_market_never_trades_beyond_its_protection_price(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 103, 5, **MAKER))
        body, closes = self.send(buy(3, 102, 7, **MARKET))
        assert statuses(body) == [(3, "New"), (3, "PartiallyFilled"), (1, "Filled"), (3, "Expired")]
        assert endings(closes) == [(1, "Filled", 0), (3, "Expired", 2)]
        assert self.book() == ([], [(103, 5)])

    def test_market_on_an_empty_book_expires(self) -> None:
        body, closes = self.send(sell(1, 1, 7, **MARKET))
        assert statuses(body) == [(1, "New"), (1, "Expired")]
        assert endings(closes) == [(1, "Expired", 7)]

    def test_market_by_budget_spent_exactly_is_filled(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 110, 5, **MAKER))
        body, closes = self.send(buy(3, 200, 0, **MARKET, quote_budget=720))
        assert fills(body) == [(1, 100, 5), (2, 110, 2)]
        assert endings(closes) == [(1, "Filled", 0), (3, "Filled", 0)]
        assert body.updates[-2].filled_tick_lots == 720

    def test_market_by_budget_is_filled_when_it_cannot_pay_one_more_lot(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 110, 5, **MAKER))
        body, closes = self.send(buy(3, 200, 0, **MARKET, quote_budget=609))
        assert fills(body) == [(1, 100, 5)]
        assert statuses(body) == [(3, "New"), (3, "Filled"), (1, "Filled")]
        assert endings(closes)[-1] == (3, "Filled", 0)

    def test_market_by_budget_takes_part_of_a_maker(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 200, 0, **MARKET, quote_budget=399))
        assert fills(body) == [(1, 100, 3)]
        assert statuses(body) == [(2, "New"), (2, "Filled"), (1, "PartiallyFilled")]
        assert endings(closes) == [(2, "Filled", 0)]
        assert self.book() == ([], [(100, 2)])

    def test_market_by_budget_expires_when_liquidity_ends(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 201, 5, **MAKER))
        body, closes = self.send(buy(3, 200, 0, **MARKET, quote_budget=650))
        assert statuses(body) == [(3, "New"), (3, "PartiallyFilled"), (1, "Filled"), (3, "Expired")]
        assert endings(closes) == [(1, "Filled", 0), (3, "Expired", 0)]

    def test_market_by_budget_too_small_for_one_lot_expires(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 200, 0, **MARKET, quote_budget=99))
        assert statuses(body) == [(2, "New"), (2, "Expired")]
        assert endings(closes) == [(2, "Expired", 0)]

    @pytest.mark.parametrize(("budget", "lots"), [(100, 1), (500, 5)])
    def test_market_by_budget_that_pays_exactly_is_filled(self, budget: int, lots: int) -> None:
        self.rest(sell(1, 100, 5, **MAKER))
        body, closes = self.send(buy(2, 200, 0, **MARKET, quote_budget=budget))
        assert fills(body) == [(1, 100, lots)]
        assert endings(closes)[-1] == (2, "Filled", 0)

    def test_market_by_budget_and_quantity_stops_at_the_first_bound(self) -> None:
        self.rest(buy(1, 100, 5, **MAKER), buy(2, 90, 5, **MAKER))
        body, closes = self.send(sell(3, 80, 9, **MARKET, quote_budget=600))
        assert fills(body) == [(1, 100, 5), (2, 90, 1)]
        assert endings(closes) == [(1, "Filled", 0), (3, "Filled", 3)]
        body, closes = self.send(sell(4, 80, 2, **MARKET, quote_budget=600))
        assert endings(closes) == [(4, "Filled", 0)]

    def test_market_fok_by_budget_fills_or_touches_nothing(self) -> None:
        self.rest(sell(1, 100, 5, **MAKER), sell(2, 110, 5, **MAKER))
        body, _ = self.send(buy(3, 200, 0, **MARKET, **FOK, quote_budget=1051))
        assert statuses(body) == [(3, "New"), (3, "Expired")]
        body, closes = self.send(buy(4, 200, 0, **MARKET, **FOK, quote_budget=719))
        assert fills(body) == [(1, 100, 5), (2, 110, 1)]
        assert endings(closes)[-1] == (4, "Filled", 0)

    def test_market_sell_fok_by_budget_fills_when_part_of_the_last_bid_is_enough(self) -> None:
        self.rest(buy(1, 100, 5, **MAKER), buy(2, 30, 5, **MAKER))
        body, _ = self.send(sell(3, 10, 9, **MARKET, **FOK, quote_budget=250))
        assert fills(body) == [(1, 100, 2)]
        assert body.updates[1].status is OrderStatus.Filled

    # Self-trade prevention

    def test_expire_taker_keeps_the_maker_and_drops_the_remainder(self) -> None:
        self.rest(sell(1, 100, 2, **MAKER), sell(2, 101, 5))
        body, closes = self.send(buy(3, 101, 6, self_trade_prevention=SelfTradePrevention.ExpireTaker))
        assert statuses(body) == [(3, "New"), (3, "PartiallyFilled"), (1, "Filled"), (3, "Expired")]
        assert endings(closes) == [(1, "Filled", 0), (3, "Expired", 4)]
        assert self.book() == ([], [(101, 5)])

    def test_expire_maker_removes_the_maker_and_goes_on(self) -> None:
        self.rest(sell(1, 100, 2), sell(2, 100, 3, **MAKER), sell(3, 101, 5))
        body, closes = self.send(buy(4, 101, 6, self_trade_prevention=SelfTradePrevention.ExpireMaker))
        assert statuses(body) == [(4, "New"), (1, "Expired"), (4, "PartiallyFilled"), (2, "Filled"), (3, "Expired")]
        assert endings(closes) == [(1, "Expired", 2), (2, "Filled", 0), (3, "Expired", 5)]
        assert not body.updates[1].is_maker
        assert body.levels == [
            LevelChange(Side.Sell, 100, 0),
            LevelChange(Side.Sell, 101, 0),
            LevelChange(Side.Buy, 101, 3),
        ]
        assert self.book() == ([(101, 3)], [])

    def test_expire_both_removes_the_maker_and_drops_the_remainder(self) -> None:
        self.rest(sell(1, 100, 2), sell(2, 100, 3, **MAKER))
        body, closes = self.send(buy(3, 100, 6, self_trade_prevention=SelfTradePrevention.ExpireBoth))
        assert statuses(body) == [(3, "New"), (1, "Expired"), (3, "Expired")]
        assert endings(closes) == [(1, "Expired", 2), (3, "Expired", 6)]
        assert self.book() == ([], [(100, 3)])

    def test_expired_maker_keeps_what_it_traded_before(self) -> None:
        self.rest(sell(1, 100, 5))
        self.send(buy(2, 100, 2, **MAKER))
        body, closes = self.send(buy(3, 100, 1, self_trade_prevention=SelfTradePrevention.ExpireMaker))
        assert (body.updates[1].filled_lots, body.updates[1].filled_tick_lots) == (2, 200)
        assert endings(closes) == [(1, "Expired", 3)]

    def test_takers_mode_decides_not_the_makers(self) -> None:
        self.rest(sell(1, 100, 5, self_trade_prevention=SelfTradePrevention.ExpireMaker))
        self.send(buy(2, 100, 5, self_trade_prevention=SelfTradePrevention.ExpireTaker))
        assert self.book() == ([], [(100, 5)])

    def test_budget_left_after_an_expired_maker_expires(self) -> None:
        # What its last trade said stands: Filled is never said without a trade.
        self.rest(sell(1, 100, 1, **MAKER), sell(2, 105, 1), sell(3, 110, 1, **MAKER))
        mode = SelfTradePrevention.ExpireMaker
        body, _ = self.send(buy(4, 200, 0, **MARKET, quote_budget=207, self_trade_prevention=mode))
        assert statuses(body) == [(4, "New"), (4, "PartiallyFilled"), (1, "Filled"), (2, "Expired"), (4, "Expired")]

    def test_fok_by_budget_that_would_end_at_an_expired_maker_touches_nothing(self) -> None:
        self.rest(sell(1, 100, 1, **MAKER), sell(2, 105, 1), sell(3, 110, 1, **MAKER))
        mode = SelfTradePrevention.ExpireMaker
        body, _ = self.send(buy(4, 200, 0, **MARKET, **FOK, quote_budget=207, self_trade_prevention=mode))
        assert statuses(body) == [(4, "New"), (4, "Expired")]
        assert self.book() == ([], [(100, 1), (105, 1), (110, 1)])

    # Cancels

    def test_cancel_by_id_alone_finds_the_symbol(self) -> None:
        self.rest(buy(1, 100, 5), buy(2, 100, 3, symbol="ETH_USDT"))
        body, closes = self.send(cancel(2))
        assert (body.symbol, body.order_id, body.code) == ("ETH_USDT", 2, Reject.NONE)
        assert statuses(body) == [(2, "Cancelled")]
        assert endings(closes) == [(2, "Cancelled", 3)]
        assert body.levels == [LevelChange(Side.Buy, 100, 0)]
        assert self.venue.depth("ETH_USDT") == ([], [])
        assert self.book() == ([(100, 5)], [])

    def test_cancel_in_the_middle_of_a_queue_keeps_the_others_order(self) -> None:
        self.rest(*(sell(number, 100, 1, **MAKER) for number in (1, 2, 3, 4)))
        body, _ = self.send(cancel(2, 1002))
        assert body.levels == [LevelChange(Side.Sell, 100, 3)]
        body, _ = self.send(buy(5, 100, 3))
        assert [trade.maker_order_id for trade in body.trades] == [1, 3, 4]

    def test_cancel_of_a_middle_level_keeps_the_others(self) -> None:
        self.rest(*(sell(number, 99 + number, 1) for number in (1, 2, 3)))
        self.send(cancel(2))
        assert self.book() == ([], [(100, 1), (102, 1)])

    def test_cancel_of_a_partly_filled_order_states_the_remainder(self) -> None:
        self.rest(sell(1, 100, 5))
        self.send(buy(2, 100, 2, **MAKER))
        body, closes = self.send(cancel(1))
        assert (body.updates[0].filled_lots, body.updates[0].filled_tick_lots) == (2, 200)
        assert endings(closes) == [(1, "Cancelled", 3)]

    @pytest.mark.parametrize("request_", [cancel(99), cancel(1, 1002), cancel(2, 1002)])
    def test_cancel_of_unknown_foreign_or_closed_order_is_refused(self, request_: CancelRequest) -> None:
        self.rest(buy(1, 100, 5), sell(2, 105, 1, **MAKER))
        self.send(buy(3, 105, 1))
        before = self.book()
        body, closes = self.send(request_)
        assert (body.code, body.symbol, body.order_id) == (Reject.UNKNOWN_ORDER, "", request_.order_id)
        assert body.user_id == request_.user_id
        assert (body.updates, body.trades, body.levels, closes) == ([], [], [], [])
        assert self.book() == before


class TestMatcherEngine(MatchingContract):
    def make(self) -> Venue:
        return EngineVenue()


class TestNaiveMatcher(MatchingContract):
    def make(self) -> Venue:
        return NaiveVenue()
