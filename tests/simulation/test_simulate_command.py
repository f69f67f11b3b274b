"""The command line of the simulation: what it prints, and how it fails."""

import pytest
from typer.testing import CliRunner

from services.adapters.journal.journal import Journal
from services.cli import app
from services.simulation.programs import Parts
from services.simulation.run import Verdict, simulate


class NeverSyncs(Journal):
    async def _sync(self) -> None:
        pass


def broken(seed: int, steps: int) -> Verdict:
    return simulate(seed, steps, Parts(journal=NeverSyncs))


def test_simulate_prints_a_line_a_seed_and_a_digest_of_all() -> None:
    result = CliRunner().invoke(app, ["simulate", "--seed", "7", "--seeds", "2", "--steps", "1500"])
    assert result.exit_code == 0
    first, second, last = result.stdout.splitlines()
    assert first.startswith("seed 7: ")
    assert f"digest {simulate(8, 1500).digest}" in second
    assert last.startswith("2 seeds passed; digest of all: ")


def test_simulate_that_finds_something_names_seed_step_and_sentence_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.simulate.simulate", broken)
    result = CliRunner().invoke(app, ["simulate", "--seed", "1", "--seeds", "20", "--steps", "1500"])
    assert result.exit_code == 1
    wrong, again = result.output.splitlines()[-2:]
    assert wrong.startswith("seed ")
    assert ", step " in wrong
    assert "unsynced" in wrong
    assert again.startswith("again: exchange simulate --seed ")
