"""Tests of the tests: what a standby can do wrong, planted one by one; few seeds must be enough to see each.

Without a planted fault the same seeds show nothing (test_seeds.py), so whatever is found is found because of it.
"""

from typing import Any

import pytest

from services.domain.core import Output
from services.shell.core_shell import CoreShell
from services.shell.standby import Heard, Standby
from services.simulation.programs import Parts
from services.simulation.run import simulate
from tests.support.planted import STEPS, check_found


class SpeaksFromItsOwnCount(Standby):
    """Takes for said what its core has said, not what the log holds."""

    def take_over(self) -> list[Output]:
        outputs = super().take_over()
        self._published.update(self._taken_over_at)
        return outputs


class BeginsAgain(Standby):
    """Says again what it kept, whatever the log holds of it."""

    def take_over(self) -> list[Output]:
        outputs = super().take_over()
        for partition, first, _ in outputs:
            self._published[partition] = first - 1
        return outputs


class TakesAWordForAll(Standby):
    """Hears the active on one partition, and forgets what it kept for the others as well."""

    def _hear(self, frame: Heard) -> None:
        super()._hear(frame)
        self._pending.take()


class ForgetsWhenReplaced(Standby):
    """Forgets what it kept for longer than it waits, as if somebody had said it meanwhile."""

    async def hears_nobody(self) -> bool:
        if not await super().hears_nobody():
            return False
        self._pending.take()
        return False


class LooksAtAStaleEnd(Standby):
    """Believes that it has read all there is."""

    async def hears_nobody(self) -> bool:
        return self.is_due


class SnapshotsWhatIsNotSaid(CoreShell[Any]):
    """A restart never says what the snapshot already holds."""

    @property
    def all_said(self) -> bool:
        return True


def shell_with(standby: type[Standby]) -> type[CoreShell[Any]]:
    """The core shell with another kind of standby in it."""

    class Shell(CoreShell[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if self._standby is not None:
                self._standby.__class__ = standby

    Shell.__name__ = standby.__name__
    return Shell


_LOST = "GapError|expected sequence|still wait|does not come to rest"
BUGS = [
    (shell_with(SpeaksFromItsOwnCount), f"{_LOST}|takes over at .* by what it read at"),
    (shell_with(BeginsAgain), "which it had read"),
    (shell_with(TakesAWordForAll), _LOST),
    (shell_with(ForgetsWhenReplaced), _LOST),
    (shell_with(LooksAtAStaleEnd), "takes over at .* by what it read at"),
    (SnapshotsWhatIsNotSaid, _LOST),
]


@pytest.mark.parametrize(("shell", "sentence"), BUGS, ids=lambda value: getattr(value, "__name__", ""))
def test_planted_standby_bug_is_found_by_few_seeds(shell: type[CoreShell[Any]], sentence: str) -> None:
    check_found(Parts(core_shell=shell), sentence)


def test_worlds_of_a_dozen_seeds_bring_frozen_processes_and_takeovers_but_not_in_all() -> None:
    verdicts = [simulate(seed, STEPS) for seed in range(12)]
    assert sum(verdict.counts.freezes for verdict in verdicts) > 0
    assert sum(verdict.counts.takeovers for verdict in verdicts) > 0
    assert {bool(verdict.shape.standbys) for verdict in verdicts} == {True, False}
