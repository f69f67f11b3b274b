"""MatcherStalled, JournalFlushSlow, SnapshotStale, PVCFilling."""

from pathlib import Path

import pytest

from tests.alerts.rules import Fired, judge
from tests.alerts.series import absent, flat, gone, metric, rise, then, well

_EXCHANGE = {"namespace": "shop", "name": "demo"}


def lag(pod: str = "demo-matcher-0", name: str = "demo", shard: int = 0, job: str = "matcher") -> str:
    place = {"reader": f"matcher-{shard}", "topic": "orders", "partition": str(shard)}
    return metric("exchange_lag_frames", job, pod, name, **place)


def applied(pod: str = "demo-matcher-0", name: str = "demo", shard: int = 0, job: str = "matcher") -> str:
    what = {"source": f"matcher-{shard}", "direction": "in", "type": "NewOrder"}
    return metric("exchange_records_total", job, pod, name, **what)


def ordered(name: str = "demo", kind: str = "NewOrder") -> str:
    what = {"source": "ubscore-0", "direction": "out", "type": kind}
    return metric("exchange_records_total", "ubscore", name=name, **what)


_WAITING = _EXCHANGE | {"source": "matcher-0", "reader": "matcher-0", "topic": "orders", "partition": "0"}
_STALLED = Fired(
    _WAITING,
    summary="matcher-0 of Exchange shop/demo does not match.",
    description="Accepted orders wait for matcher-0 of Exchange shop/demo, and for minutes it has applied nothing (7 "
    "frames wait).",
)
_NOBODY = Fired(
    _EXCHANGE | {"source": "every matcher"},
    description="Accepted orders wait for every matcher of Exchange shop/demo, and for minutes it has applied nothing "
    "(2 come a second).",
)


def test_matcher_stalled_when_orders_wait_and_it_applies_none(tmp_path: Path) -> None:
    series = {lag(): then(flat(0, 5), rise(1, 2, 1), flat(7, 10)), applied(): then(rise(20, 5), flat(400, 12))}
    judge(tmp_path, "MatcherStalled", series, 12, [_STALLED])


def test_matcher_stalled_when_no_matcher_is_there(tmp_path: Path) -> None:
    series = {
        lag(): then(flat(0, 5), gone(10)),
        applied(): then(rise(30, 5), gone(10)),
        ordered(): rise(30, 15),
    }
    judge(tmp_path, "MatcherStalled", series, 11, [_NOBODY])
    judge(tmp_path, "MatcherStalled", series, 7, [])


def test_matcher_stalled_says_which_shard_of_which_exchange(tmp_path: Path) -> None:
    well_off = {
        lag(name="other"): flat(3, 20),
        applied(name="other"): rise(20, 20),
        lag("demo-matcher-1", shard=1): flat(0, 20),
        applied("demo-matcher-1", shard=1): rise(20, 20),
    }
    series = {lag(): flat(7, 20), applied(): flat(100, 20)} | well_off
    judge(tmp_path, "MatcherStalled", series, 8, [Fired(_WAITING)])


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param({lag(): flat(5_000, 20), applied(): rise(300, 20)}, 15, id="it has much to do and does it"),
        pytest.param({lag(): flat(0, 20), applied(): flat(300, 20)}, 15, id="nobody orders"),
        pytest.param(
            {lag(): then(*["0 0 7 7"] * 20), applied(): flat(300, 20)}, 15, id="a scrape meets a frame now and then"
        ),
        pytest.param({lag(): then(flat(0, 5), flat(7, 10)), applied(): flat(9, 15)}, 8, id="not yet"),
        pytest.param(
            {
                lag(): then(rise(1, 5), gone(1), flat(9, 3), flat(0, 11)),
                applied(): then(rise(20, 5), gone(1), absent(0.5), rise(20, 13.5, 1)),
            },
            12,
            id="it restarted and has caught up",
        ),
        pytest.param(
            {
                lag("demo-matcher-standby-0", job="matcher-standby"): flat(900, 20),
                applied("demo-matcher-standby-0", job="matcher-standby"): flat(5, 20),
                lag(): flat(0, 20),
                applied(): rise(20, 20),
                ordered(): rise(20, 20),
            },
            15,
            id="its standby is the one that stands",
        ),
        pytest.param({ordered(): flat(500, 20)}, 15, id="no matcher is there, and nobody orders"),
        pytest.param({ordered(): rise(20, 20)} | {lag(): flat(0, 20)}, 15, id="cancels that became none"),
        pytest.param({}, 15, id="no series"),
    ],
)
def test_matcher_stalled_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "MatcherStalled", series, minute, [])


# The journal


def flushes(bound: str, pod: str = "demo-ubscore-0", name: str = "demo", source: str = "ubscore-0") -> str:
    return metric("exchange_journal_flush_seconds_bucket", "ubscore", pod, name, source=source, le=bound)


def flushing(
    fast: float, slow: float, minutes: float, pod: str = "demo-ubscore-0", name: str = "demo"
) -> dict[str, str]:
    """So many at each sample that took 50 ms at the most, and so many that took 0.1 to 0.25 s."""
    bounds = {"0.05": fast, "0.1": fast, "0.25": fast + slow, "+Inf": fast + slow}
    return {flushes(bound, pod, name): rise(each, minutes) for bound, each in bounds.items()}


_SLOW = _EXCHANGE | {"pod": "demo-ubscore-0", "source": "ubscore-0"}


def test_journal_flush_slow_says_which_disk(tmp_path: Path) -> None:
    fired = Fired(
        _SLOW,
        summary="The disk of demo-ubscore-0 of Exchange shop/demo is slow.",
        description="One in a hundred flushes of the journal of ubscore-0 in pod shop/demo-ubscore-0 takes 242.5ms or "
        "longer. Every order waits for a flush.",
    )
    series = flushing(80, 20, 20) | flushing(100, 0, 20, "demo-ubscore-standby-0") | flushing(100, 0, 20, name="other")
    judge(tmp_path, "JournalFlushSlow", series, 15, [fired])


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param(flushing(1_000, 1, 20), 15, id="one in a thousand is slow"),
        pytest.param(flushing(80, 20, 20), 9, id="not yet"),
        pytest.param(flushing(0, 0, 20), 15, id="nothing is flushed"),
        pytest.param({}, 15, id="no series"),
    ],
)
def test_journal_flush_slow_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "JournalFlushSlow", series, minute, [])


def test_journal_flush_slow_goes_on_over_a_restart(tmp_path: Path) -> None:
    before, after = flushing(80, 20, 10), flushing(80, 20, 20)
    series = {name: then(before[name], "stale _", after[name]) for name in before}
    judge(tmp_path, "JournalFlushSlow", series, 18, [Fired(_SLOW)])


# Snapshots


def snapshots(behind: str, interval: float = 60, name: str = "demo") -> dict[str, str]:
    pod = f"{name}-matcher-0"
    return {
        metric("exchange_snapshot_behind_seconds", "matcher", pod, name, source="matcher-0"): behind,
        metric("exchange_snapshot_interval_seconds", "matcher", pod, name, source="matcher-0"): flat(interval, 60),
    }


def test_snapshot_stale_says_how_much_is_replayed(tmp_path: Path) -> None:
    fired = Fired(
        _EXCHANGE | {"pod": "demo-matcher-0", "source": "matcher-0"},
        summary="demo-matcher-0 of Exchange shop/demo takes no snapshots.",
        description="matcher-0 in pod shop/demo-matcher-0 has had no snapshot of all that it applied for 15m 0s. A "
        "restart replays all of that time.",
    )
    judge(tmp_path, "SnapshotStale", snapshots(rise(15, 60)) | snapshots(flat(20, 60), name="other"), 15, [fired])


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param(snapshots(then(*["0 15 30 45"] * 60)), 50, id="one a minute"),
        pytest.param(snapshots(rise(15, 60)), 10, id="not yet"),
        pytest.param(snapshots(rise(15, 60), interval=1_800), 50, id="the settings ask for one each half hour"),
        pytest.param(snapshots(then(flat(0, 30), flat(3_600, 0.25), flat(0, 29))), 31, id="news after an idle hour"),
        pytest.param(snapshots(flat(0, 60)), 50, id="no news"),
        pytest.param(snapshots(then(rise(15, 9), gone(1), rise(15, 50))), 16, id="a restart, which replayed all"),
        pytest.param({}, 50, id="no series"),
    ],
)
def test_snapshot_stale_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "SnapshotStale", series, minute, [])


# Volumes


def volume(free: str, claim: str = "data-demo-ubscore-0", namespace: str = "shop") -> dict[str, str]:
    """free: of 1000 bytes."""
    at = f'namespace="{namespace}",persistentvolumeclaim="{claim}",job="kubelet",instance="10.0.0.1:10250"'
    return {
        f"kubelet_volume_stats_available_bytes{{{at}}}": free,
        f"kubelet_volume_stats_capacity_bytes{{{at}}}": flat(1_000, 300),
    }


_SEEN = well(60)
_VOLUME = _EXCHANGE | {"persistentvolumeclaim": "data-demo-ubscore-0"}


@pytest.mark.parametrize(
    "claim", ["data-demo-ubscore-0", "data-demo-matcher-standby-11", "data-demo-redpanda-2", "data-demo-scylla-0"]
)
def test_pvc_filling_is_critical_when_it_is_almost_full(tmp_path: Path, claim: str) -> None:
    fired = Fired(
        _EXCHANGE | {"persistentvolumeclaim": claim},
        "critical",
        summary=f"Volume shop/{claim} is almost full.",
        description=f"9% of volume {claim} of Exchange shop/demo are free. A core that cannot write its journal stops.",
    )
    judge(tmp_path, "PVCFilling", _SEEN | volume(flat(90, 60), claim), 10, [fired])


def test_pvc_filling_warns_a_day_before(tmp_path: Path) -> None:
    # 10 an hour for ten hours, from 400 on: at 300 it lasts for 30 h; 20 an hour: for less than a day.
    values = then(rise(-10 / 60, 600 / 4, 400), rise(-20 / 60, 600 / 4, 375))
    series = {name: values if "available" in name else flat(1_000, 300) for name in volume("")} | well(300)
    fired = Fired(_VOLUME, "warning", summary="Volume shop/data-demo-ubscore-0 will be full within a day.")
    judge(tmp_path, "PVCFilling", series, 590, [], step="1m")
    judge(tmp_path, "PVCFilling", series, 1_000, [fired], step="1m")


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param(volume(flat(500, 60)), 40, id="half full"),
        pytest.param(volume(flat(90, 60)), 4, id="not yet"),
        pytest.param(volume(then(flat(90, 3), flat(600, 57))), 20, id="it was grown"),
        pytest.param(volume(flat(90, 60), "data-somebody-else-0"), 20, id="not an exchange's"),
        pytest.param(volume(flat(90, 60), "data-elsewhere-ubscore-0"), 20, id="of an exchange that is not there"),
        pytest.param(volume(flat(90, 60), namespace="market"), 20, id="of a namespace without that exchange"),
        pytest.param(volume(rise(-0.5, 60, 900)), 55, id="filling fast, but far from full"),
        pytest.param({}, 20, id="no series"),
    ],
)
def test_pvc_filling_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "PVCFilling", _SEEN | series, minute, [])


def test_pvc_filling_is_silent_where_the_kubelet_tells_nothing_of_exchanges(tmp_path: Path) -> None:
    judge(tmp_path, "PVCFilling", volume(flat(90, 60)), 20, [])
