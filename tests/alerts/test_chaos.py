"""The chart's rules in a real Prometheus that scrapes the five processes of an exchange, while one of them is killed.

The expressions are the chart's, word for word. Two things are not: what an alert waits for (`for`) is twelve seconds
instead of minutes, and the alerts on the operator are left out, since none runs here. Targets have the labels that the
operator's ServiceMonitor gives them.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest
import yaml
from cassandra.cluster import Cluster

from services.demo.client import Api, Refusal, Silence
from tests.alerts.rules import groups
from tests.alerts.series import JOBS
from tests.real.prometheus import Prometheus, Target
from tests.real.stack import DATABASE, Stack

SELLER, BUYER = 1001, 1002
WAITED: Final = "12s"
"""Instead of what each alert waits for."""
FIRES_WITHIN_SECONDS: Final = 120.0
"""A database counts as down when no call has succeeded for a minute; a loaded machine may be slow besides."""
QUIET_SECONDS: Final = 5.0
SLOW: Final = frozenset(("JournalFlushSlow", "ErrorRateHigh", "SettlementBacklog", "ConsumerLagGrowing"))
"""What a machine that others use may truly make of an exchange, and what a test before leaves for minutes."""
_PREFIX: Final = "alerts"
_SET_BACK: Final = (
    "UPDATE settlement_progress SET next_offset = 1 "
    "WHERE reader = 'settlement' AND topic = 'balance.events' AND partition = 0"
)


class Traders:
    """Two who trade with each other, as long as the block lasts; a request that fails is tried no more."""

    def __init__(self, url: str, folder: Path) -> None:
        self._api = Api(url, folder)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        for user in (SELLER, BUYER):
            self._api.token(user)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._api.close()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for user, side in ((SELLER, "Sell"), (BUYER, "Buy")):
                order = {"side": side, "order_type": "Limit", "price": "50000", "quantity": "0.0001"}
                try:
                    self._api.post("/api/orders", order | {"symbol": "BTC_USDT"}, user, user_id=user)
                except (Refusal, Silence):
                    break


class Watched:
    """An exchange, and the Prometheus that watches it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        folder.mkdir()
        file = folder / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [_hasty(group) for group in groups() if _is_ours(group)]}))
        targets = [_target(name, stack) for name in stack.processes]
        self.prometheus = Prometheus(folder, targets, rules=[file], interval_s=3.0)

    def fires(self, name: str, *plausible: str) -> list[dict[str, Any]]:
        """Wait until this alert fires, and none that is neither it nor `plausible`; returns it, by its labels."""
        self._wait(lambda: name in self.firing())
        assert self.firing() <= {name, *plausible}
        return [alert for alert in self.prometheus.alerts() if alert["labels"]["alertname"] == name and _fires(alert)]

    def is_over(self, name: str) -> None:
        """Wait until this alert fires no more."""
        self._wait(lambda: name not in self.firing())

    def stays_quiet(self) -> None:
        """No alert fires for a while, once rows have followed the first orders."""
        self._wait(lambda: self.firing() == set())
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            assert self.firing() == set()
            time.sleep(0.2)

    def firing(self) -> set[str]:
        """The names of the alerts that fire, however slow the machine is."""
        return self.prometheus.firing() - SLOW

    def _wait(self, good: Any) -> None:
        self.prometheus.wait_until(good, lambda: f"alerts are {self.prometheus.alerts()}", FIRES_WITHIN_SECONDS)


def _fires(alert: dict[str, Any]) -> bool:
    return bool(alert["state"] == "firing")


def _is_ours(group: dict[str, Any]) -> bool:
    return bool(group["name"] != "exchange-operator")


def _hasty(group: dict[str, Any]) -> dict[str, Any]:
    """The group, whose alerts wait no longer than WAITED."""
    return group | {"rules": [rule | {"for": WAITED} if "for" in rule else rule for rule in group["rules"]]}


def _target(name: str, stack: Stack) -> Target:
    job = name.rpartition("-")[0]
    assert job in JOBS
    labels = {
        "namespace": "shop",
        "app_kubernetes_io_instance": "demo",
        "service": f"demo-{job}",
        "pod": f"demo-{name}",
        "endpoint": "internal",
    }
    return Target(job, stack.processes[name].url.removeprefix("http://"), labels)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("alerts")
    with Stack(folder / "exchange", prefix=_PREFIX) as stack, Traders(stack.url, stack.folder):
        watched = Watched(stack, folder / "prometheus")
        try:
            watched.prometheus.start()
            watched.prometheus.wait_scraped()
            yield watched
        finally:
            watched.prometheus.end()


def test_exchange_that_is_well_has_no_alert(watched: Watched) -> None:
    watched.stays_quiet()
    assert watched.prometheus.rule_errors() == []
    assert watched.prometheus.value("exchange:orders_accepted:rate5m") > 0, "orders flow"
    recorded = {rule["record"] for group in groups() for rule in group["rules"] if "record" in rule}
    # What nothing good shows: errors, and volumes of a kubelet that is not here.
    rare = {
        "exchange:gateway_errors:rate5m",
        "exchange:gateway_errors:ratio5m",
        "exchange:store_errors:rate1m",
        "exchange:database_down",
        "exchange:volume_free:ratio",
        "exchange:stored_behind_seconds",
    }
    silent = {name for name in recorded if not watched.prometheus.query(name)}
    assert silent <= rare


@pytest.mark.parametrize(
    ("killed", "plausible"),
    [("order-history-0", ()), ("settlement-0", ()), ("matcher-0", ("MatcherStalled",))],
)
def test_service_that_is_killed_is_named_until_it_is_back(
    watched: Watched, killed: str, plausible: tuple[str, ...]
) -> None:
    stack = watched.stack
    stack.kill(killed)
    try:
        (alert,) = watched.fires("ServiceDown", *plausible)
    finally:
        stack.restart(killed)
        stack.wait_ready(killed)
    job = killed.rpartition("-")[0]
    assert alert["labels"] == {
        "alertname": "ServiceDown",
        "severity": "critical",
        "namespace": "shop",
        "name": "demo",
        "job": job,
        "pod": f"demo-{killed}",
        "reason": "does not answer",
    }
    assert alert["annotations"]["summary"] == f"{job} of Exchange shop/demo does not answer."
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/ServiceDown.md"
    watched.is_over("ServiceDown")


def test_database_that_is_stopped_is_named_until_it_is_back(watched: Watched) -> None:
    stack = watched.stack
    stack.kill(DATABASE)
    try:
        alerts = watched.fires("DatabaseDown")
    finally:
        stack.restart(DATABASE)
    down = {alert["labels"]["job"] for alert in alerts}
    assert down
    assert down <= {"settlement", "order-history", "gateway"}
    watched.is_over("DatabaseDown")


def test_settlement_whose_store_was_set_back_says_so_before_it_ends(watched: Watched) -> None:
    stack = watched.stack
    database = stack.database
    patience = {"connect_timeout": 60, "control_connection_timeout": 60}
    with Cluster([database.host], port=database.port, protocol_version=4, **patience) as cluster:
        session = cluster.connect(_PREFIX)
        # A batch that is being written at this moment puts the position right again.
        while "was set back" not in stack.processes["settlement-0"].output:
            session.execute(_SET_BACK, timeout=60)
            if "SettlementHalted" in watched.firing():
                break
            time.sleep(0.3)
    # It may have ended by then.
    (alert,) = watched.fires("SettlementHalted", "ServiceDown")
    assert alert["labels"]["reason"] == "has stopped itself"
    assert stack.stop_process("settlement-0") == 1
    assert "it was set back; a restart goes on from 1" in stack.processes["settlement-0"].output
