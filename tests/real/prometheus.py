"""A real Prometheus for tests, Debian's, on a folder and a port of its own.

prometheus = Prometheus(folder, [Target("gateway", "127.0.0.1:8080", {"namespace": "trading"})], rules=[path])
prometheus.start()                       # it answers
prometheus.wait_scraped()                # it has read every target
prometheus.query("sum by (job) (up)")    # [({"job": "gateway"}, 1.0)]
prometheus.end()                         # by its own pid
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.real.fetched import require_programs
from tests.real.server import Server, free_ports

SCRAPED_WITHIN_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1

Labels = dict[str, str]
Points = list[tuple[float, float]]
"""Unix times and values."""


@dataclass(frozen=True)
class Target:
    """What is scraped. address: host:port. labels: beside job and instance, as Prometheus's operator adds namespace and
    pod. honor_labels: what the process says wins over them, as the operator's ServiceMonitor has it."""

    job: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    honor_labels: bool = False
    path: str = "/metrics"


class Prometheus(Server):
    """One server. rules: files of alerts and recording rules. interval_s: of scrapes and evaluations, whole ms."""

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target],
        *,
        rules: Sequence[Path] = (),
        interval_s: float = 1.0,
    ) -> None:
        super().__init__("Prometheus", folder)
        require_programs(("prometheus", "promtool"), ("prometheus",))
        self._folder = folder
        self._targets = targets
        self._address = f"127.0.0.1:{free_ports(1)[0]}"
        self.url = f"http://{self._address}"
        self._config = folder / "prometheus.yml"
        self._config.write_text(yaml.safe_dump(_config(targets, rules, interval_s)))

    # Questions

    def query(self, expr: str, at: float | None = None) -> list[tuple[Labels, float]]:
        """The value of each series, now or at a Unix time. Raises AssertionError when the query is wrong."""
        answer = self._get("query", {"query": expr} | ({} if at is None else {"time": str(at)}))
        if answer["resultType"] == "scalar":
            return [({}, float(answer["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in answer["result"]]

    def value(self, expr: str) -> float:
        """Of the only series there is; NaN when there is none."""
        found = self.query(expr)
        assert len(found) <= 1, f"{expr} has many values: {found}"
        return found[0][1] if found else float("nan")

    def query_range(self, expr: str, begin: float, end: float, step_s: float) -> list[tuple[Labels, Points]]:
        """The points of each series between two Unix times."""
        times = {"start": str(begin), "end": str(end), "step": str(step_s)}
        answer = self._get("query_range", {"query": expr} | times)
        return [
            (one["metric"], [(float(when), float(value)) for when, value in one["values"]]) for one in answer["result"]
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing: labels, annotations, state, activeAt, value."""
        found: list[dict[str, Any]] = self._get("alerts", {})["alerts"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.alerts() if alert["state"] == "firing"}

    def label_values(self, label: str, matching: str) -> list[str]:
        """What a label has been in the series that match a selector, in order."""
        found: list[str] = self._get(f"label/{label}/values", {"match[]": matching})
        return found

    def rule_errors(self) -> list[str]:
        """What rules could not be evaluated, and why."""
        rules = [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule.get("lastError")]

    def up(self) -> dict[str, str]:
        """The health of each target by its address: up, down or unknown (not scraped yet)."""
        return {one["labels"]["instance"]: one["health"] for one in self._get("targets", {})["activeTargets"]}

    @property
    def ready(self) -> bool:
        """Whether it takes questions."""
        return self._answers()

    # Waiting

    def wait_scraped(self) -> None:
        """Return when every target has been read."""
        addresses = {target.address for target in self._targets}
        self.wait_until(lambda: self.up() == dict.fromkeys(addresses, "up"), lambda: f"targets are {self.up()}")

    def wait_until(
        self,
        good: Callable[[], bool],
        describe: Callable[[], str],
        within_s: float = SCRAPED_WITHIN_SECONDS,
    ) -> None:
        """Return when it is good. describe: how things are, for the AssertionError when it takes too long."""
        deadline = time.monotonic() + within_s
        while not good():
            assert time.monotonic() < deadline, f"after {within_s:g} s: {describe()}"
            time.sleep(_POLL_SECONDS)

    # What a Server says of itself

    def _command(self) -> Sequence[str]:
        data = ("--storage.tsdb.path", str(self._folder / "data"), "--storage.tsdb.retention.time", "1d")
        return ["prometheus", "--config.file", str(self._config), "--web.listen-address", self._address, *data]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def _get(self, what: str, parameters: Mapping[str, str]) -> Any:
        response = httpx.get(f"{self.url}/api/v1/{what}", params=dict(parameters), timeout=30)
        answer = response.json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]


def _config(targets: Sequence[Target], rules: Sequence[Path], interval_s: float) -> dict[str, Any]:
    """One scrape configuration for each job. Targets of a job agree on everything but address and labels."""
    every = f"{round(interval_s * 1000)}ms"
    jobs: dict[str, dict[str, Any]] = {}
    for target in targets:
        job = {"job_name": target.job, "metrics_path": target.path, "honor_labels": target.honor_labels}
        places = jobs.setdefault(target.job, job | {"static_configs": []})["static_configs"]
        places.append({"targets": [target.address], "labels": dict(target.labels)})
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": list(jobs.values()),
    }
