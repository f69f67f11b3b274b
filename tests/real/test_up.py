"""`make up` and `make down`: started once, found again, played with; what was recorded is stopped, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.exchange_process import free_port
from tests.support.processes import ROOT, environment, run

WITHIN_S = 180


def up(folder: Path, *more: str) -> str:
    """Run it; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.real.up", str(folder), *more],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_starts_once_plays_the_story_and_down_ends_only_its_own(tmp_path: Path) -> None:
    folder, port = tmp_path / "up", free_port()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        assert f"http://127.0.0.1:{port}" in up(folder, "--port", str(port))
        record = json.loads((folder / "running.json").read_text())
        assert len(record["pids"]) == 7
        assert up(folder, "--port", str(port)).startswith("It runs already.")
        assert json.loads((folder / "running.json").read_text()) == record
        assert run("demo", "--port", str(port), "--data-dir", folder).returncode == 0
        # A number that somebody else has now is not ours any more.
        (folder / "running.json").write_text(json.dumps(record | {"pids": record["pids"] | {"lost": bystander.pid}}))
        printed = up(folder, "--down")
        assert "lost" not in printed
        assert bystander.poll() is None
        assert up(folder, "--down").startswith("Nothing runs.")
        assert (folder / "data" / "ubscore-0").is_dir()
        up(folder, "--down", "--clean")
        assert not folder.exists()
    finally:
        bystander.kill()
        bystander.wait()
        if folder.exists():
            up(folder, "--down")
