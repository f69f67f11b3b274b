"""Without an endpoint nobody pays for traces, not even with memory."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

LOADED = """
import json, sys
import {module}
from services.config import Settings
from services.runtime.traces import Traces
assert Traces(Settings(), None, local=True).service("gateway") is None
print(json.dumps([name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "grpc", "google")]))
"""


@pytest.mark.parametrize("name", ["ubscore", "matcher", "settlement", "order_history", "gateway"])
def test_traces_off_load_nothing(name: str) -> None:
    code = LOADED.format(module=f"services.runtime.distributed.{name}")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(), check=True
    )
    loaded = json.loads(done.stdout)
    # FastAPI brings OpenTelemetry's API along, which does nothing by itself.
    assert not [one for one in loaded if name != "gateway" or one.startswith(("opentelemetry.sdk", "grpc"))]
