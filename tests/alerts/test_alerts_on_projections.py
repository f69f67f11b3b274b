"""DatabaseDown, ConsumerLagGrowing, SettlementBacklog, SettlementHalted, NoOrderEvents."""

from pathlib import Path

import pytest

from tests.alerts.rules import Fired, judge
from tests.alerts.series import absent, flat, gone, metric, rise, then

_EXCHANGE = {"namespace": "shop", "name": "demo"}
_EVENTS = {"reader": "settlement", "topic": "balance.events", "partition": "0"}
_OUTPUTS = {"reader": "order_history", "topic": "engine.outputs", "partition": "0"}


# The database


def calls(values: str, job: str = "settlement", name: str = "demo") -> dict[str, str]:
    return {metric("exchange_store_call_seconds_count", job, name=name, call="progress"): values}


def errors(values: str, job: str = "settlement", name: str = "demo") -> dict[str, str]:
    what = {"call": "progress", "error": "StoreUnavailable"}
    return {metric("exchange_store_errors_total", job, name=name, **what): values}


_DOWN = Fired(
    _EXCHANGE | {"job": "settlement"},
    summary="The database does not answer settlement of Exchange shop/demo.",
    description="Every call of the database by settlement of Exchange shop/demo has failed for a minute, 0.2 a second. "
    "Orders are matched and settled on; histories and tables stand still, and a key that no gateway knows yet "
    "cannot log in.",
)


def test_database_down_says_whom_it_does_not_answer(tmp_path: Path) -> None:
    series = (
        calls(then(rise(5, 5), flat(95, 10)))
        | errors(then(absent(5), rise(3, 10, 1)))
        | calls(rise(5, 15), "order-history")
        | calls(rise(5, 15), name="other")
    )
    judge(tmp_path, "DatabaseDown", series, 8, [_DOWN])
    judge(tmp_path, "DatabaseDown", series, 6, [])


def test_database_down_when_it_never_was_up(tmp_path: Path) -> None:
    judge(tmp_path, "DatabaseDown", errors(rise(3, 15)), 3, [Fired(_DOWN.labels)])


def test_database_down_ends_when_calls_succeed(tmp_path: Path) -> None:
    series = calls(then(flat(95, 5), rise(5, 10, 100))) | errors(then(rise(3, 5), flat(57, 10)))
    judge(tmp_path, "DatabaseDown", series, 4.5, [Fired(_DOWN.labels)])
    judge(tmp_path, "DatabaseDown", series, 6, [])


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(calls(rise(5, 15)) | errors(rise(3, 15)), id="some calls fail"),
        pytest.param(calls(flat(5, 15)) | errors(flat(3, 15)), id="nobody asks"),
        pytest.param(calls(then(rise(5, 5), flat(0, 10))), id="a counter that began anew"),
        pytest.param(errors(rise(3, 15), "gateway") | calls(rise(1, 15), "gateway"), id="some logins fail"),
        pytest.param(
            calls(then(*["0 0 20 20"] * 15)) | errors(then(*["0 3 3 3"] * 15)), id="it comes and goes within a minute"
        ),
        pytest.param({}, id="no series"),
    ],
)
def test_database_down_is_silent(tmp_path: Path, series: dict[str, str]) -> None:
    for minute in (4, 8, 12):
        judge(tmp_path, "DatabaseDown", series, minute, [])


# Lag


def lag(values: str, name: str = "demo", pod: str = "", job: str = "settlement", **place: str) -> dict[str, str]:
    return {metric("exchange_lag_frames", job, pod, name, **(place or _EVENTS)): values}


_BEHIND = Fired(
    _EXCHANGE | _EVENTS,
    summary="settlement of Exchange shop/demo falls behind the log.",
    description="settlement of Exchange shop/demo has not applied at least 540 frames of balance.events/0, and it gets "
    "more.",
)


def test_consumer_lag_growing_says_which_reader_and_partition(tmp_path: Path) -> None:
    series = lag(rise(10, 30)) | lag(rise(1, 30), name="other") | lag(flat(0, 30), job="order-history", **_OUTPUTS)
    judge(tmp_path, "ConsumerLagGrowing", series, 18.5, [_BEHIND])


def test_consumer_lag_growing_of_the_core_that_is_further(tmp_path: Path) -> None:
    place = {"reader": "ubscore-0", "topic": "balance.operations", "partition": "0"}
    active = lag(flat(0, 30), job="ubscore", **place)
    standby = lag(rise(100, 30), job="ubscore-standby", pod="demo-ubscore-standby-0", **place)
    judge(tmp_path, "ConsumerLagGrowing", active | standby, 25, [])
    judge(tmp_path, "ConsumerLagGrowing", standby, 25, [Fired(_EXCHANGE | place)])


def test_consumer_lag_growing_of_any_gateway(tmp_path: Path) -> None:
    place = {"reader": "gateway", "topic": "balance.events", "partition": "0"}
    series = lag(flat(0, 30), pod="demo-gateway-a", job="gateway", **place)
    series |= lag(rise(100, 30), pod="demo-gateway-b", job="gateway", **place)
    judge(tmp_path, "ConsumerLagGrowing", series, 25, [Fired(_EXCHANGE | place)])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(flat(5_000, 30), id="much, and no more than before"),
        pytest.param(rise(-10, 30, 5_000), id="it catches up"),
        pytest.param(then(*["0 400 900 20"] * 30), id="bursts"),
        pytest.param(flat(3, 30), id="little"),
        pytest.param(then(rise(10, 5), gone(5), rise(10, 4, 900), flat(0, 16)), id="a restart, and it catches up"),
    ],
)
def test_consumer_lag_growing_is_silent(tmp_path: Path, values: str) -> None:
    for minute in (14, 25):
        judge(tmp_path, "ConsumerLagGrowing", lag(values), minute, [])


def test_consumer_lag_growing_is_silent_without_series(tmp_path: Path) -> None:
    judge(tmp_path, "ConsumerLagGrowing", {}, 25, [])


# The backlog: promtool's time begins at 0, so a stamp of 0 is as old as the test.


def backlog(waiting: str, stamp: str, unwritten: str = "0x400", name: str = "demo", **place: str) -> dict[str, str]:
    where = place or _EVENTS
    return lag(waiting, name, **where) | {
        metric("exchange_newest_stored_timestamp_seconds", "settlement", name=name, **where): stamp,
        metric("exchange_projection_unwritten_records", "settlement", name=name, **where): unwritten,
    }


_LATE = Fired(
    _EXCHANGE | _EVENTS,
    summary="Settlement of Exchange shop/demo is 10m 0s behind.",
    description="The newest row that settlement of Exchange shop/demo has stored of balance.events/0 is 10m 0s old, "
    "and more wait.",
)


def test_settlement_backlog_says_how_old_the_newest_row_is(tmp_path: Path) -> None:
    series = backlog(flat(40, 60), then(rise(15, 10), flat(600, 50))) | backlog(flat(9, 60), rise(15, 60), name="other")
    judge(tmp_path, "SettlementBacklog", series, 20, [_LATE])


def test_settlement_backlog_counts_what_was_read_and_not_written(tmp_path: Path) -> None:
    series = backlog(flat(0, 60), then(rise(15, 10), flat(600, 50)), unwritten=flat(800, 60))
    judge(tmp_path, "SettlementBacklog", series, 20, [Fired(_LATE.labels)])


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param(backlog(flat(0, 60), flat(0, 60)), 50, id="all is stored, long ago"),
        pytest.param(backlog(flat(40, 60), rise(15, 60)), 50, id="always some wait, and never long"),
        pytest.param(backlog(flat(40, 60), then(rise(15, 10), flat(600, 50))), 14, id="not yet"),
        pytest.param(
            backlog(then(flat(0, 30), flat(3, 0.25), flat(0, 29)), then(flat(0, 30.25), rise(15, 29, 1_800))),
            30.1,
            id="the first event after half an hour",
        ),
        pytest.param(
            backlog(then(flat(0, 10), gone(2), flat(0, 48)), then(flat(0, 10), gone(50)), gone(1)), 40, id="a restart"
        ),
        pytest.param(backlog(flat(40, 60), then(rise(15, 10), flat(600, 50)), **_OUTPUTS), 30, id="another reader"),
        pytest.param({}, 50, id="no series"),
    ],
)
def test_settlement_backlog_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "SettlementBacklog", series, minute, [])


# Settlement that stands still


def said(values: str, name: str = "demo") -> dict[str, str]:
    what = {"source": "ubscore-0", "direction": "out", "type": "OrderAccepted"}
    return {metric("exchange_records_total", "ubscore", name=name, **what): values}


def rows(values: str, name: str = "demo", **place: str) -> dict[str, str]:
    return {metric("exchange_projection_rows_total", "settlement", name=name, **(place or _EVENTS)): values}


def stopped(values: str, name: str = "demo") -> dict[str, str]:
    return {metric("exchange_invariant_broken", "settlement", name=name): values}


_WORDS = (
    "Balances in the database stay as they are; those that orders are checked against are ubscore's, and are right."
)
_HALTED = Fired(
    _EXCHANGE | {"reason": "has stopped itself"},
    summary="Settlement of Exchange shop/demo has stopped itself.",
    description=f"Settlement of Exchange shop/demo has stopped itself (value 1). {_WORDS}",
)
_STILL = Fired(
    _EXCHANGE | {"reason": "stores none of the changes of balances"},
    description="Settlement of Exchange shop/demo stores none of the changes of balances (value 2). " + _WORDS,
)


def test_settlement_halted_when_it_says_so(tmp_path: Path) -> None:
    series = stopped(then(flat(0, 5), "1 1", gone(10))) | stopped(flat(0, 15), "other")
    judge(tmp_path, "SettlementHalted", series, 7, [_HALTED])


def test_settlement_halted_is_told_once_while_it_starts_and_ends_again(tmp_path: Path) -> None:
    life = then("0 1", gone(5))
    series = stopped(then(flat(0, 2), *[life] * 5)) | said(rise(30, 30)) | rows(then(rise(60, 2), gone(28)))
    for minute in (8, 15, 25):
        judge(tmp_path, "SettlementHalted", series, minute, [Fired(_HALTED.labels)])


@pytest.mark.parametrize("after", [flat(1_140, 30), gone(30)], ids=["it stands", "it is gone"])
def test_settlement_halted_when_balances_change_and_no_rows_come(tmp_path: Path, after: str) -> None:
    series = said(rise(30, 35)) | rows(then(rise(60, 5), after)) | said(rise(30, 35), "other")
    series |= rows(rise(60, 35), "other") | rows(rise(60, 35), **_OUTPUTS)
    judge(tmp_path, "SettlementHalted", series, 17, [_STILL])
    judge(tmp_path, "SettlementHalted", series, 13, [])


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(said(rise(30, 40)) | rows(rise(60, 40)), id="it writes"),
        pytest.param(said(flat(30, 40)) | rows(flat(60, 40)), id="nothing happens"),
        pytest.param(said(then(flat(0, 30), flat(1, 10))) | rows(then(flat(0, 30), flat(2, 10))), id="one order"),
        pytest.param(
            said(then(flat(5, 30), rise(1, 10, 6))) | rows(then(flat(9, 30.5), rise(2, 9.5, 11))),
            id="orders after a quiet half hour",
        ),
        pytest.param(
            said(rise(30, 40)) | rows(then(rise(60, 15), gone(3), absent(1), rise(60, 21))),
            id="a restart of four minutes",
        ),
        pytest.param(
            said(rise(30, 40)) | rows(then(rise(60, 5), flat(1_140, 35))) | errors(rise(3, 40)), id="no database"
        ),
        pytest.param(stopped(flat(0, 40)), id="it is well"),
        pytest.param({}, id="no series"),
    ],
)
def test_settlement_halted_is_silent(tmp_path: Path, series: dict[str, str]) -> None:
    for minute in (12, 20, 30.25, 31, 38):
        judge(tmp_path, "SettlementHalted", series, minute, [])


# Order history that stands still


def orders(values: str, name: str = "demo", result: str = "accepted") -> dict[str, str]:
    what = {"command": "PlaceOrder", "result": result}
    return {metric("exchange_gateway_commands_total", "gateway", name=name, **what): values}


_NO_EVENTS = Fired(
    _EXCHANGE,
    summary="Exchange shop/demo stores no order events.",
    description="2 orders a second are accepted by Exchange shop/demo, and for ten minutes order history has stored no "
    "event of any.",
)


@pytest.mark.parametrize("after", [flat(1_140, 30), gone(30)], ids=["it stands", "it is gone"])
def test_no_order_events_ten_minutes_after_the_last_while_orders_flow(tmp_path: Path, after: str) -> None:
    series = orders(rise(30, 35)) | rows(then(rise(60, 5), after), **_OUTPUTS) | rows(rise(60, 35))
    series |= orders(rise(30, 35), "other") | rows(rise(60, 35), "other", **_OUTPUTS)
    judge(tmp_path, "NoOrderEvents", series, 15.5, [_NO_EVENTS])
    judge(tmp_path, "NoOrderEvents", series, 14, [])


def test_no_order_events_when_order_history_never_was(tmp_path: Path) -> None:
    judge(tmp_path, "NoOrderEvents", orders(rise(30, 15)), 10, [Fired(_NO_EVENTS.labels)])


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(orders(rise(30, 40)) | rows(rise(60, 40), **_OUTPUTS), id="events are stored"),
        pytest.param(orders(flat(30, 40)) | rows(flat(60, 40), **_OUTPUTS), id="nobody orders"),
        pytest.param(orders(rise(30, 40), result="rejected"), id="all are refused"),
        pytest.param(
            orders(then(flat(5, 20), flat(6, 20))) | rows(then(flat(9, 20.5), flat(11, 19.5)), **_OUTPUTS),
            id="one order, whose event comes two scrapes later",
        ),
        pytest.param(
            orders(rise(30, 40)) | rows(then(rise(60, 10), gone(2), flat(0, 1), rise(60, 27)), **_OUTPUTS),
            id="a restart, and counters begin anew",
        ),
        pytest.param(
            orders(then(rise(30, 10), flat(0, 30))) | rows(then(rise(60, 10), flat(2_340, 30)), **_OUTPUTS),
            id="the gateway began anew, and orders ended",
        ),
        pytest.param({}, id="no series"),
    ],
)
def test_no_order_events_is_silent(tmp_path: Path, series: dict[str, str]) -> None:
    for minute in (12, 20.25, 26, 38):
        judge(tmp_path, "NoOrderEvents", series, minute, [])
