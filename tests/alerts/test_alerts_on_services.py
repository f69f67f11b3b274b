"""ServiceDown, InvariantBroken, HashChainBroken."""

from pathlib import Path

import pytest

from tests.alerts.rules import Fired, judge
from tests.alerts.series import absent, flat, gone, labels, metric, rise, then, well

_EXCHANGE = {"namespace": "shop", "name": "demo"}
_UP = metric("up", "settlement")
_START = metric("process_start_time_seconds", "matcher")
_SILENT = Fired(_EXCHANGE | {"job": "settlement", "pod": "demo-settlement-0", "reason": "does not answer"})
_BROKEN = metric("exchange_invariant_broken", "ubscore")
_BREAKS = metric("exchange_chain_breaks_total", "order-history", source="matcher-1")


def test_service_down_says_which_pod_of_which_exchange(tmp_path: Path) -> None:
    fired = Fired(
        _SILENT.labels,
        summary="settlement of Exchange shop/demo does not answer.",
        description="For five minutes settlement of Exchange shop/demo does not answer (pod demo-settlement-0), as "
        "Prometheus sees it (value 0).",
    )
    judge(tmp_path, "ServiceDown", well(20) | {_UP: then(flat(1, 5), flat(0, 15))}, 11, [fired])


@pytest.mark.parametrize(
    ("values", "minute"),
    [
        pytest.param(then(flat(1, 5), flat(0, 15)), 9, id="not yet"),
        pytest.param(then(flat(1, 5), flat(0, 4), flat(1, 1), flat(0, 4)), 13, id="it came back between"),
        pytest.param(then(flat(1, 5), flat(0, 7), flat(1, 8)), 15, id="it is back"),
    ],
)
def test_service_down_is_silent_while(tmp_path: Path, values: str, minute: float) -> None:
    judge(tmp_path, "ServiceDown", well(20) | {_UP: values}, minute, [])


def test_service_down_when_a_component_is_nowhere_to_be_found(tmp_path: Path) -> None:
    fired = Fired(
        _EXCHANGE | {"job": "matcher", "reason": "is nowhere to be found"},
        description="For five minutes matcher of Exchange shop/demo is nowhere to be found, as Prometheus sees it "
        "(value 1).",
    )
    judge(tmp_path, "ServiceDown", well(20, without="matcher"), 10, [fired])
    gone_since = {metric("up", "matcher"): then(flat(1, 5), gone(15))}
    judge(tmp_path, "ServiceDown", well(20, without="matcher") | gone_since, 12, [fired])
    judge(tmp_path, "ServiceDown", well(20, without="matcher") | gone_since, 9, [])


def test_service_down_knows_exchanges_apart(tmp_path: Path) -> None:
    others = well(20, name="other") | well(20, namespace="market")
    judge(tmp_path, "ServiceDown", well(20, without="matcher") | others, 3, [])
    series = well(20) | others | {metric("up", "settlement", name="other"): flat(0, 20)}
    other = Fired(
        {
            "namespace": "shop",
            "name": "other",
            "job": "settlement",
            "pod": "other-settlement-0",
            "reason": "does not answer",
        }
    )
    judge(tmp_path, "ServiceDown", series, 10, [other])


def test_service_down_says_nothing_of_an_exchange_that_was_deleted_or_never_was(tmp_path: Path) -> None:
    deleted = {name: then(flat(1, 5), gone(15)) for name in well(1)}
    judge(tmp_path, "ServiceDown", deleted, 15, [])
    judge(tmp_path, "ServiceDown", {'up{namespace="shop",job="gateway",pod="somebody-else"}': flat(0, 20)}, 15, [])


def test_service_down_is_silent_while_a_pod_is_replaced_by_another(tmp_path: Path) -> None:
    old, new = metric("up", "gateway", "demo-gateway-a"), metric("up", "gateway", "demo-gateway-b")
    series = well(20, without="gateway") | {
        old: then(flat(1, 5), flat(0, 1), gone(14)),
        new: then(absent(4), flat(0, 1), flat(1, 15)),
    }
    judge(tmp_path, "ServiceDown", series, 12, [])


def test_service_down_when_it_ends_again_and_again(tmp_path: Path) -> None:
    # Up for one scrape of four: never down for five minutes.
    starts = " ".join(f"{1_000 + 60 * n} _ _ _" for n in range(30))
    flapping = then(*["1 0 0 0"] * 30)
    series = well(30) | {metric("up", "matcher"): flapping, _START: starts}
    restarting = Fired(
        _EXCHANGE | {"job": "matcher", "pod": "demo-matcher-0", "reason": "ends again and again"},
        description="For five minutes matcher of Exchange shop/demo ends again and again (pod demo-matcher-0), as "
        "Prometheus sees it (value 10).",
    )
    judge(tmp_path, "ServiceDown", series, 8, [])
    judge(tmp_path, "ServiceDown", series, 10, [restarting])


def test_service_down_forgives_an_upgrade_and_a_crash(tmp_path: Path) -> None:
    starts = then(flat(1_000, 5), flat(1_400, 5), flat(1_800, 20))
    judge(tmp_path, "ServiceDown", well(30) | {_START: starts}, 25, [])


_STOPPED = Fired(
    _EXCHANGE | {"job": "ubscore", "pod": "demo-ubscore-0"},
    summary="demo-ubscore-0 of Exchange shop/demo has found what must not be.",
    description="ubscore in pod shop/demo-ubscore-0 has stopped itself rather than go on with a state that it cannot "
    "vouch for. Its last line says what and where.",
)


def test_invariant_broken_fires_at_the_first_scrape_that_sees_it(tmp_path: Path) -> None:
    judge(tmp_path, "InvariantBroken", {_BROKEN: "0 0 0 0 0 1 1 _ _ _"}, 1.25, [_STOPPED])


def test_invariant_broken_stays_while_it_starts_and_ends_again(tmp_path: Path) -> None:
    # The longest pause between two starts is five minutes.
    life = then("0 1", gone(5))
    series = {_BROKEN: then(flat(0, 2), *[life] * 4)}
    for minute in (2.5, 6, 13, 20):
        judge(tmp_path, "InvariantBroken", series, minute, [Fired(_STOPPED.labels)])


def test_invariant_broken_ends_a_quarter_of_an_hour_after_a_restart_has_mended_it(tmp_path: Path) -> None:
    series = {_BROKEN: then(flat(0, 2), "1 1", gone(1), flat(0, 30))}
    judge(tmp_path, "InvariantBroken", series, 17, [Fired(_STOPPED.labels)])
    judge(tmp_path, "InvariantBroken", series, 18, [])


def test_invariant_broken_is_silent_of_what_is_well_and_of_settlement(tmp_path: Path) -> None:
    judge(tmp_path, "InvariantBroken", {_BROKEN: flat(0, 30)}, 20, [])
    judge(tmp_path, "InvariantBroken", {metric("exchange_invariant_broken", "settlement"): flat(1, 30)}, 20, [])
    judge(tmp_path, "InvariantBroken", well(30), 20, [])


def test_invariant_broken_says_which_exchange(tmp_path: Path) -> None:
    series = {_BROKEN: flat(0, 5), metric("exchange_invariant_broken", "ubscore", name="other"): flat(1, 5)}
    other = Fired({"namespace": "shop", "name": "other", "job": "ubscore", "pod": "other-ubscore-0"})
    judge(tmp_path, "InvariantBroken", series, 3, [other])


_CHANGED = Fired(
    _EXCHANGE | {"source": "matcher-1"},
    summary="Results of matcher-1 of Exchange shop/demo were changed.",
    description="2 results of matcher-1 of Exchange shop/demo do not have the hash that they should: what is on "
    "engine.outputs is not what the matcher said.",
)


def test_hash_chain_broken_counts_the_results(tmp_path: Path) -> None:
    judge(tmp_path, "HashChainBroken", {_BREAKS: then(flat(0, 5), flat(2, 5))}, 5, [_CHANGED])


def test_hash_chain_broken_outlives_a_restart_of_who_saw_it(tmp_path: Path) -> None:
    series = {_BREAKS: then(flat(0, 5), flat(2, 1), gone(1), flat(0, 90))}
    judge(tmp_path, "HashChainBroken", series, 60, [Fired(_CHANGED.labels)])
    judge(tmp_path, "HashChainBroken", series, 68, [])


def test_hash_chain_broken_is_silent_of_whole_chains(tmp_path: Path) -> None:
    other = f"exchange_chain_breaks_total{{{labels('order-history', name='other', source='matcher-0')}}}"
    judge(tmp_path, "HashChainBroken", {_BREAKS: flat(0, 90), other: flat(0, 90)}, 80, [])
    judge(tmp_path, "HashChainBroken", {metric("exchange_lag_frames", "gateway"): rise(1, 20)}, 15, [])
