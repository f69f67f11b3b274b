"""What recorded messages become, and how the book before them is made."""

from collections.abc import Iterable

import pytest

from services.domain.instruments import SymbolStatus
from services.domain.messages import CancelOrder, PlaceOrder, SetSymbol
from services.domain.orders import Side, TimeInForce
from services.replay.lobster import BookRow, Level, Message, ReplayFileError, parse_messages
from services.replay.plan import Plan, Users, book_before, funds_needed, make_plan, unplaced_orders

Short = tuple[object, ...]


def plan_of(lines: list[str], first_row: BookRow | None = None) -> Plan:
    return make_plan(messages_of(lines), first_row, "ABC", 4)


def messages_of(lines: list[str]) -> list[Message]:
    return list(parse_messages(lines, "f"))


def short(commands: Iterable[object]) -> list[Short]:
    """Commands in a form that is easy to read."""
    return [_short(command) for command in commands]


def _short(command: object) -> Short:
    if isinstance(command, PlaceOrder):
        kind = "rest" if command.time_in_force == TimeInForce.GTC else "take"
        return (kind, command.cid, command.side.name, command.quantity_lots, command.price_ticks, command.user_id)
    if isinstance(command, CancelOrder):
        return ("cancel", command.cid, command.user_id)
    assert isinstance(command, SetSymbol)
    return (command.settings.status,)


def test_plan_new_partial_cancel_execution_delete_follow_one_order() -> None:
    plan = plan_of(["1,1,70,10,500,1", "2,2,70,3,500,1", "3,4,70,5,500,1", "4,3,70,2,500,1"])
    assert [short(step.commands) for step in plan.steps] == [
        [("rest", "70-1", "Buy", 10, 500, 1)],
        [("cancel", "70-1", 1), ("rest", "70-2", "Buy", 7, 500, 1)],
        [("take", "take-70-3", "Sell", 5, 500, 3)],
        [("cancel", "70-2", 1)],
    ]
    assert plan.steps[2].maker_cid == "70-2"
    assert plan.late_orders == 0


def test_plan_partial_cancel_of_all_that_is_left_places_nothing() -> None:
    plan = plan_of(["1,1,70,10,500,-1", "2,2,70,10,500,-1"])
    assert short(plan.steps[1].commands) == [("cancel", "70-1", 3)]


def test_plan_hidden_and_cross_send_nothing() -> None:
    plan = plan_of(["1,5,0,10,500,-1", "2,6,0,10,500,-1"])
    assert [step.commands for step in plan.steps] == [[], []]


def test_plan_halts_change_the_symbols_status() -> None:
    plan = plan_of(["1,7,0,0,-1,-1", "2,7,0,0,0,-1", "3,7,0,0,1,-1"])
    statuses = [short(step.commands)[0][0] for step in plan.steps]
    assert statuses == [SymbolStatus.Halted, SymbolStatus.CancelOnly, SymbolStatus.Trading]


def test_plan_order_that_was_never_placed_comes_right_before_its_first_message() -> None:
    plan = plan_of(["1,1,1,1,400,1", "2,4,70,5,500,1", "3,3,70,2,500,1"])
    assert short(plan.steps[1].commands) == [
        ("rest", "70-0", "Buy", 7, 500, 1),
        ("take", "take-70-2", "Sell", 5, 500, 3),
    ]
    assert plan.late_orders == 1


def test_plan_seeds_split_levels_into_the_files_orders_executions_first_and_a_rest() -> None:
    row = BookRow([Level(500, 30), Level(400, 6)], [Level(600, 9)])
    lines = ["1,1,1,10,500,1", "2,3,71,4,500,1", "3,4,70,5,500,1", "4,4,72,9,600,-1", "5,3,73,7,400,1"]
    plan = plan_of(lines, row)
    assert short(plan.seeds) == [
        ("rest", "70-0", "Buy", 5, 500, 1),
        ("rest", "71-0", "Buy", 4, 500, 2),
        ("rest", "seed-Buy-500", "Buy", 11, 500, 1),
        ("rest", "seed-Buy-400", "Buy", 6, 400, 1),
        ("rest", "72-0", "Sell", 9, 600, 3),
    ]
    # Order 73 does not fit into the six shares at 400: it was placed later, out of sight.
    assert short(plan.steps[4].commands) == [("rest", "73-0", "Buy", 7, 400, 2), ("cancel", "73-0", 2)]


@pytest.mark.parametrize(
    ("line", "bids"),
    [
        ("1,1,9,10,500,1", [Level(500, 20)]),
        ("1,1,9,30,500,1", []),
        ("1,3,9,10,500,1", [Level(500, 40)]),
        ("1,4,9,5,510,1", [Level(510, 5), Level(500, 30)]),
        ("1,5,0,5,510,1", [Level(500, 30)]),
    ],
)
def test_book_before_undoes_the_first_message(line: str, bids: list[Level]) -> None:
    (message,) = messages_of([line])
    assert book_before(BookRow([Level(500, 30)], [Level(600, 1)]), message) == (bids, [Level(600, 1)])


def test_book_before_of_a_row_that_cannot_follow_is_refused() -> None:
    (message,) = messages_of(["1,1,9,31,500,1"])
    with pytest.raises(ReplayFileError, match="does not hold its 31 shares"):
        book_before(BookRow([Level(500, 30)], []), message)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["1,1,9,5,500,1", "2,1,9,5,500,1"], "line 2: order 9 is placed again"),
        (["1,1,9,5,500,1", "2,3,9,5,500,1", "3,3,9,5,500,1"], "line 3: order 9 is no longer there"),
        (["1,1,9,5,500,1", "2,4,9,5,501,1"], "line 2: order 9 has another price or direction"),
        (["1,1,9,5,500,1", "2,4,9,6,500,1"], "line 2: size 6 is more than order 9 has left, 5"),
    ],
)
def test_plan_message_that_cannot_follow_is_refused(lines: list[str], sentence: str) -> None:
    with pytest.raises(ReplayFileError) as raised:
        plan_of(lines)
    assert str(raised.value) == sentence


def test_unplaced_orders_add_up_all_that_happens_to_them() -> None:
    messages = messages_of(["1,2,7,1,500,1", "2,4,7,2,500,1", "3,1,8,1,500,1", "4,3,8,1,500,1"])
    found = unplaced_orders(messages)
    assert {order_id: (message.line, message.size) for order_id, message in found.items()} == {7: (1, 3)}


@pytest.mark.parametrize("count", [2, 3, 10])
def test_users_are_never_buyers_and_sellers(count: int) -> None:
    users = Users.of(count)
    assert sorted((*users.buyers, *users.sellers)) == list(range(1, count + 1))
    assert all(users.of_order(Side.Buy, order) in users.buyers for order in range(50))
    assert all(users.of_order(Side.Sell, order) in users.sellers for order in range(50))


def test_funds_needed_cover_every_order_of_a_user() -> None:
    plan = plan_of(["1,1,70,10,500,1", "2,4,70,5,500,1", "3,1,71,3,600,-1"])
    assert funds_needed(plan) == {1: 5000, 2: 0, 3: 5, 4: 3}
