"""The same seed is the same world: in this process, in another one, with another order of hashes."""

import os
import subprocess
import sys

from services.simulation.run import simulate


def output(hash_seed: str) -> str:
    """What the command line prints."""
    code = "from services.cli import main; main()"
    arguments = ["simulate", "--seed", "3", "--seeds", "4", "--steps", "4000", "--verbose"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_same_seed_in_processes_with_other_hash_seeds_gives_the_same_digest() -> None:
    first, second = output("1"), output("2")
    assert first == second
    for seed in range(3, 7):
        assert f"digest {simulate(seed, 4_000).digest}" in first


def test_other_seed_gives_another_world() -> None:
    assert simulate(1, 1_000).digest != simulate(2, 1_000).digest
