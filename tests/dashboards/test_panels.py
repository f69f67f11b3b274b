"""Every panel of every dashboard shows something of a running exchange, as a real Prometheus reads it.

The pictures that a person may look at are in build/dashboards (distributed form) and build/dashboards/local.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.dashboards.answers import Answers, Window, ask, silent
from tests.dashboards.boards import boards
from tests.dashboards.operator_page import OperatorPage
from tests.dashboards.picture import draw
from tests.dashboards.traffic import BURST, PER_SECOND, Traffic
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.prometheus import Prometheus, Target
from tests.real.stack import Stack
from tests.support.exchange_process import ExchangeProcess
from tests.support.processes import ROOT

_PICTURES: Final = ROOT / "build" / "dashboards"
_LOOK_S: Final = 45.0
"""How much time a picture shows."""
_WITHIN_S: Final = 240.0
_SCRAPE_S: Final = 2.0
_RATE: Final = f"{5 * _SCRAPE_S:.0f}s"
_TIMES: Final = {"__rate_interval": _RATE, "__range": f"{_LOOK_S:.0f}s"}
"""Grafana's own is four scrapes at least; one may fail on a busy machine."""
_ALL: Final = dict.fromkeys(("namespace", "exchange", "operator", "symbol"), ".*")
_NUMBERS: Final = itertools.count(1)


def test_every_panel_shows_something_of_the_local_form(tmp_path: Path) -> None:
    exchange = ExchangeProcess(tmp_path / "data")
    try:
        limit = "EXCHANGE_GATEWAY__RATE_LIMITS__ANONYMOUS__"
        exchange.start(**{f"{limit}PER_SECOND": str(PER_SECOND), f"{limit}BURST": str(BURST)})
        exchange.wait_ready()
        targets = [Target("exchange", exchange.url.removeprefix("http://"))]
        _look(tmp_path, targets, exchange.url, exchange.data_dir, _ALL, _PICTURES / "local", _local)
    finally:
        exchange.end()


def test_every_panel_shows_something_of_the_distributed_form(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    strangers = {"perSecond": PER_SECOND, "burst": BURST}
    settings = {"gateway": {"rateLimits": {"anonymous": strangers}}}
    options = {"broker": broker, "database": database, "prefix": f"boards-{next(_NUMBERS)}", "settings": settings}
    with Stack(tmp_path / "exchange", standby=True, **options) as stack:
        # As the operator's ServiceMonitor has it.
        targets = [
            Target(
                name.replace("-0", ""),
                process.url.removeprefix("http://"),
                {"namespace": "trading", "app_kubernetes_io_instance": "demo", "pod": f"demo-{name}"},
            )
            for name, process in stack.processes.items()
        ]
        chosen = _ALL | {"namespace": "trading", "exchange": "demo|trial"}
        _look(tmp_path, targets, stack.url, stack.folder, chosen, _PICTURES, _distributed)


def _look(
    folder: Path,
    targets: list[Target],
    url: str,
    data_dir: Path,
    values: Mapping[str, str],
    pictures: Path,
    check: Callable[[Prometheus], None],
) -> None:
    """Have people trade until every panel shows something, and draw the pictures."""
    with OperatorPage() as page:
        operator = Target("exchange-operator-metrics", page.address, {"namespace": "system"}, honor_labels=True)
        prometheus = Prometheus(folder / "prometheus", [*targets, operator], interval_s=_SCRAPE_S)
        try:
            prometheus.start()
            with Traffic(url, data_dir):
                window = _wait_for_all(prometheus, values, has_all=pictures == _PICTURES)
                check(prometheus)
            for board in boards():
                draw(board, ask(prometheus, board, window, values | _TIMES), window, pictures / f"{board.name}.png")
        finally:
            prometheus.end()


def _wait_for_all(prometheus: Prometheus, values: Mapping[str, str], *, has_all: bool) -> Window:
    """Until every panel shows something of the time that a picture shows; of which all of it was traffic."""
    prometheus.wait_scraped()
    time.sleep(_LOOK_S)
    begin = time.time()
    while True:
        window = Window(time.time() - _LOOK_S, time.time())
        found = [ask(prometheus, board, window, values | _TIMES) for board in boards()]
        empty = [name for answers in found for name in silent(_wanted(answers, has_all=has_all))]
        if not empty:
            return window
        assert time.time() - begin < _WITHIN_S, f"these show nothing: {empty}"
        time.sleep(1)


def _wanted(answers: Answers, *, has_all: bool) -> Answers:
    return {panel: found for panel, found in answers.items() if has_all or not panel.is_distributed_only}


def _local(prometheus: Prometheus) -> None:
    """A label that the local form has not: "All" takes it nevertheless."""
    assert prometheus.label_values("app_kubernetes_io_instance", "exchange_build_info") == []


def _distributed(prometheus: Prometheus) -> None:
    """Choices are those of the exchange, and what standbys do counts once."""
    assert prometheus.label_values("app_kubernetes_io_instance", "exchange_build_info") == ["demo"]
    assert len(prometheus.query('last_over_time(exchange_trades_total{symbol="BTC_USDT"}[1m])')) == 2
    assert prometheus.label_values("job", "exchange_operator_build_info") == ["exchange-operator-metrics"]
    (board,) = (board for board in boards() if board.name == "overview")
    # What is younger may still change: a scrape counts from its begin.
    end = time.time() - 4 * _SCRAPE_S
    found = ask(prometheus, board, Window(end - 5, end), _ALL | _TIMES)
    (trades,) = (series for panel, (series, *_) in found.items() if panel.title == "Trades")
    shown = {one.labels["symbol"]: one.points[-1] for one in trades if one.points}
    assert shown
    for symbol, (when, value) in shown.items():
        of_active = f'rate(exchange_trades_total{{job="matcher", symbol="{symbol}"}}[{_RATE}])'
        assert [rate for _, rate in prometheus.query(of_active, when)] == [value], symbol
