"""Every way in which a projection's write can end in the middle, and the same inputs folded again after it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from services.adapters.cql.writes import Write
from services.simulation.tables import Tables


class Fold(ABC):
    """One run of a projection, from its first input on, with `tables` as its store."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @abstractmethod
    def phases_until(self, end: int) -> list[list[Write]]:
        """Fold inputs until `end` of them are folded; returns what is then to be written."""

    def writes_until(self, end: int) -> list[Write]:
        return [write for phase in self.phases_until(end) for write in phase]

    def write_until(self, end: int) -> None:
        self.land(self.writes_until(end))

    def land(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self.tables.land(write)


Start = Callable[[Tables], Fold]
"""Begins a run on what an earlier one left."""


def check_torn_batch(start: Start, torn_end: int, end: int) -> None:
    """Tear the batch of the first `torn_end` of `end` inputs after every write, and fold again in other batches.

    Raises AssertionError when other rows come of it than of one batch that nothing disturbs.
    """
    wanted = _undisturbed(start, end)
    for most in range(len(start(Tables()).writes_until(torn_end)) + 1):
        for limit in range(end + 1):
            torn = start(Tables())
            torn.land(torn.writes_until(torn_end)[:most])
            again = start(torn.tables)
            if limit:
                again.write_until(limit)
            again.write_until(end)
            _compare(again.tables, wanted, f"{torn_end=} {most=} {limit=}")


def check_late_writer(start: Start, late_end: int, end: int) -> None:
    """Let the batch of the first `late_end` of `end` inputs come after any batch of another run; then both go on.

    Raises AssertionError when other rows come of it than of one run alone.
    """
    wanted = _undisturbed(start, end)
    for limit in range(end + 1):
        dead = start(Tables())
        late = dead.writes_until(late_end)
        living = start(dead.tables)
        if limit:
            living.write_until(limit)
        dead.land(late)
        living.write_until(end)
        # What the dead one writes below would hide what its late batch spoiled.
        _compare(dead.tables, wanted, f"{late_end=} {limit=} before the dead one goes on")
        dead.write_until(end)
        _compare(dead.tables, wanted, f"{late_end=} {limit=}")


def _undisturbed(start: Start, end: int) -> Tables:
    tables = Tables()
    start(tables).write_until(end)
    return tables


def _compare(tables: Tables, wanted: Tables, case: str) -> None:
    assert tables.contents() == wanted.contents(), case
    assert tables.progress == wanted.progress, case
