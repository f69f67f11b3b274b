"""`exchange replay` as a person calls it."""

import subprocess
import sys
from pathlib import Path

from tests.support.shared_data import lobster_messages


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from services.cli import main; main()", "replay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_replay_malformed_line_names_it_and_starts_nothing(tmp_path: Path) -> None:
    lines = lobster_messages().read_text().splitlines()
    lines[41] = lines[41].replace(",4,", ",9,", 1)
    file = tmp_path / "AAPL_bad.csv"
    file.write_text("\n".join(lines))
    result = run(str(file), "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 1
    assert result.stderr == f"exchange: {file}:42: field 2 (type) wants 1 to 7, got '9'\n"
    assert not (tmp_path / "data").exists()


def test_replay_prints_a_summary_and_keeps_the_data_it_is_told_to(tmp_path: Path) -> None:
    result = run(str(lobster_messages()), "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 0, result.stderr
    for words in ("messages: New", "trades", "AAPL_USD at the end", "zero sum: USD"):
        assert words in result.stdout
    again = run(str(lobster_messages()), "--data-dir", str(tmp_path / "data"))
    assert again.returncode == 2
    assert "holds an exchange already" in again.stderr


def test_replay_file_without_a_ticker_asks_for_one(tmp_path: Path) -> None:
    file = tmp_path / "messages.csv"
    file.write_text("1,1,1,1,100,1\n")
    result = run(str(file))
    assert result.returncode == 2
    assert "name it with --ticker" in result.stderr
