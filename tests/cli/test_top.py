"""`exchange top`: what it shows of a real exchange, and of one that is away."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.adapters.metrics.figures import Figures, Look, parse, quantile
from services.cli.top_view import duration, size
from tests.support.live_exchange import LiveExchange
from tests.support.processes import PROGRAM, environment, run

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    exchange = LiveExchange(tmp_path_factory.mktemp("exchange"))
    maker, taker = exchange.new_user(BTC="1"), exchange.new_user(USDT="100000")
    maker.order("Sell", "50000", "0.5")
    taker.order("Buy", "50000", "0.2")
    taker.order("Buy", "49000", "9", status=400)
    yield exchange
    exchange.stop()


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_top_once_shows_health_rates_latencies_cores_lag_and_markets(live: LiveExchange) -> None:
    answer = run("top", live.url, "--once", "--every", "0.2", COLUMNS="100")
    assert answer.returncode == 0, answer.stderr
    shown = rows(answer.stdout)
    assert "│ ● ready: 1 process │" in shown
    text = "\n".join(shown)
    assert re.search(r"^127\.0\.0\.1:\d+ ● running 0\.1\.0 [\d.]+ MiB", text, re.MULTILINE)
    assert re.search(r"^trades 0\.0 1\b", text, re.MULTILINE)
    assert re.search(r"order settled [\d.]+ (ms|s) [\d.]+ (ms|s)", text)
    assert re.search(r"trade in the store [\d.]+ (ms|s)", text)
    assert re.search(r"ubscore-0 ● active [\d.]+ (ms|s) [\d.]+ KiB [\d.]+ (µs|ms|s) 0", text)
    assert re.search(r"^settlement balance\.events-0 \d+ \d+$", text, re.MULTILINE)
    assert re.search(r"BTC_USDT ● Trading 50,000 – 1 0\.0", text)


def test_top_once_of_somebody_who_is_away_says_so_and_fails(live: LiveExchange) -> None:
    answer = run("top", live.url, NOBODY, "--once", "--every", "0.2")
    assert answer.returncode == 1
    assert "■ not ready: 1 of 2 processes" in answer.stdout
    assert "127.0.0.1:9 ■ does not answer" in " ".join(answer.stdout.split())
    assert "BTC_USDT" in answer.stdout


def test_top_asks_the_processes_that_make_up_recorded(live: LiveExchange, tmp_path: Path) -> None:
    record = tmp_path / "running.json"
    record.write_bytes(msgspec.json.encode({"url": live.url, "pids": {}, "internal": {"gateway-0": live.url}}))
    answer = run("top", "--running", record, "--once", "--every", "0.2")
    assert answer.returncode == 0, answer.stderr
    assert "● ready: 1 process" in answer.stdout
    record.write_text("{}")
    refused = run("top", "--running", record, "--once")
    assert refused.returncode == 2
    assert "wants the running.json" in refused.stderr


def test_top_goes_on_until_it_is_interrupted(live: LiveExchange) -> None:
    leader, follower = pty.openpty()
    environ = environment(TERM="xterm", LINES="60")
    process = subprocess.Popen(
        [*PROGRAM, "top", live.url, "--every", "0.2"], stdin=follower, stdout=follower, stderr=follower, env=environ
    )
    os.close(follower)
    seen = ""
    deadline = time.monotonic() + 60
    # Two pictures: it has looked again.
    while seen.count("ready: 1 process") < 2 and time.monotonic() < deadline:
        if select.select([leader], [], [], 1)[0]:
            seen += os.read(leader, 65_536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    while process.poll() is None and time.monotonic() < deadline:
        # Nobody ends who cannot write its last words.
        if select.select([leader], [], [], 0.1)[0]:
            try:
                seen += os.read(leader, 65_536).decode(errors="replace")
            except OSError:
                break
    assert process.wait(10) == 0
    os.close(leader)
    assert seen.count("ready: 1 process") >= 2
    assert "Traceback" not in seen


def look(url: str, at_s: float, text: str) -> Look:
    return Look(url, at_s, "", parse(text))


def test_figures_of_several_processes_are_added_up() -> None:
    before = [look("a", 10, "x_total 100\n"), look("b", 10, "x_total 5\n")]
    now = [look("a", 12, "x_total 140\n"), look("b", 12, "x_total 15\n"), look("c", 12, "x_total 7\n")]
    figures = Figures(before, now)
    assert figures.sum("x_total") == 162
    assert figures.rate("x_total") == 25
    assert figures.rate("y_total") is None
    assert Figures([], now).rate("x_total") is None


def test_rate_of_a_process_that_was_started_again_is_never_negative() -> None:
    assert Figures([look("a", 10, "x_total 100\n")], [look("a", 12, "x_total 3\n")]).rate("x_total") == 0


def histogram(low: int, high: int, more: int) -> str:
    lines = [("0.1", low), ("0.2", low + high), ("+Inf", low + high + more)]
    return "".join(f'h_bucket{{le="{le}"}} {count}\n' for le, count in lines) + f"h_count {low + high + more}\n"


def test_quantile_is_of_what_was_observed_between_the_looks() -> None:
    before, now = [look("a", 0, histogram(100, 0, 0))], [look("a", 1, histogram(100, 10, 0))]
    assert Figures(before, now).quantile("h", 0.5) == pytest.approx(0.15)
    assert Figures(before, now, since_start=True).quantile("h", 0.5) == pytest.approx(0.055)
    assert Figures(now, now).quantile("h", 0.5) is None
    # It was started again: what it counted before is not subtracted.
    assert Figures(now, [look("a", 2, histogram(4, 0, 0))]).quantile("h", 1) == pytest.approx(0.1)


@pytest.mark.parametrize(("part", "expected"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_quantile_lies_between_the_bounds_of_its_bucket(part: float, expected: float) -> None:
    assert quantile({1.0: 2, 2.0: 4, float("inf"): 4}, part) == pytest.approx(expected)


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({1.0: 0, float("inf"): 4}, 0.5) == 1.0
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0000421, "42 µs"), (0.0123, "12.3 ms"), (2.5, "2.5 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_duration_has_a_unit_that_people_read(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_size_has_a_unit_that_people_read() -> None:
    assert [size(count) for count in (12, 2_048, 3 * 2**20, 2**31)] == ["12 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]
