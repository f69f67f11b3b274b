"""Every benchmark still runs, on little work, and prints its tables. How fast it is, no test asks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, environment

_LITTLE = {
    "bench_pipeline": ["2000"],
    "bench_http": ["200"],
    "bench_metrics": ["500"],
    "bench_distributed": ["--seconds", "2"],
    "bench_store_cql": ["2", "500"],
    "bench_tracing": ["320"],
}
_NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("name", _NAMES)
def test_benchmark_on_little_work_prints_a_table(name: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *_LITTLE.get(name, [])],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "┃" in result.stdout
