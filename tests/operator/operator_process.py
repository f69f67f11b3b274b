"""The real operator, as a process of its own."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.real.server import Server
from tests.support.exchange_process import free_port
from tests.support.processes import PROGRAM, environment


class OperatorProcess(Server):
    """`exchange operator` with a kubeconfig and a port that stay the same from start to start."""

    def __init__(self, folder: Path, kubeconfig: Path, *arguments: str, name: str = "operator", **more: str) -> None:
        """more: environment variables."""
        super().__init__(name, folder)
        self._arguments = arguments
        self._environment = {"KUBECONFIG": str(kubeconfig), "POD_ID": name} | more
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def metric(self, sample: str, /, **labels: str) -> float:
        """The value of a sample; 0 when there is none yet."""
        text = httpx.get(f"{self.url}/metrics", timeout=10.0).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        found = (one.value for one in samples if one.name == f"exchange_operator_{sample}" and one.labels == labels)
        return next(found, 0.0)

    def log(self) -> Iterator[dict[str, Any]]:
        """What it has logged, a dictionary for each line."""
        for line in self._output.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def _command(self) -> Sequence[str]:
        variables = [f"{name}={value}" for name, value in environment(**self._environment).items()]
        return ["env", "-i", *variables, *PROGRAM, "operator", f"--metrics-port={self._port}", *self._arguments]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2.0).is_success
        except httpx.HTTPError:
            return False
