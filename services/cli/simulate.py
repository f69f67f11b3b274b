"""`exchange simulate`: the whole exchange in a world of crashes, torn disks and lying networks, seed by seed."""

from dataclasses import asdict
from hashlib import blake2b
from typing import Annotated

import typer

from services.simulation.run import Verdict, simulate


def simulate_command(
    seed: Annotated[int, typer.Option(min=0, help="The first seed: it decides everything.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Operations on log, disk and store before faults stop.")] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to run, one after the other.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print layout and all counts of each seed.")] = False,
) -> None:
    """Run production cores, shells, journals and gateways on a simulated log, disk, store and clock.

    Processes are killed between any two steps, disks tear and fill up, the log repeats frames and loses answers, the
    store goes away. At the end an independent auditor recomputes everything from the log. The same seed gives the same
    world, to the last byte. Exits with 1 at the first seed that shows something wrong.
    """
    everything = blake2b(digest_size=16)
    for number in range(seed, seed + seeds):
        verdict = simulate(number, steps)
        if verdict.sentence:
            typer.echo(f"seed {number}, step {verdict.counts.steps:,}: {verdict.sentence}", err=True)
            typer.echo(f"again: exchange simulate --seed {number} --steps {steps}", err=True)
            raise typer.Exit(1)
        typer.echo(_line(verdict))
        if verbose:
            typer.echo(_details(verdict))
        everything.update(verdict.digest.encode())
    typer.echo(f"{seeds} seed{'s' if seeds > 1 else ''} passed; digest of all: {everything.hexdigest()}")


def _line(verdict: Verdict) -> str:
    counts = verdict.counts
    return (
        f"seed {verdict.seed}: {counts.steps:,} steps, {counts.commands} commands, {counts.trades} trades, "
        f"{counts.crashes} crashes, {counts.torn_tails} torn tails, {counts.duplicates} duplicates, "
        f"{counts.store_faults} store faults, digest {verdict.digest}"
    )


def _details(verdict: Verdict) -> str:
    shape = ", ".join(f"{name} {value}" for name, value in asdict(verdict.shape).items())
    counts = ", ".join(f"{name} {value}" for name, value in asdict(verdict.counts).items())
    return f"    {shape}\n    {counts}, virtual seconds {verdict.virtual_seconds:.3f}"
