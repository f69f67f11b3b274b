"""Which faults a seed brings, how often, and whether they are still on.

Seeds differ in what they stress: every kind of fault is off in some, rare in others, heavy in a few. So bugs that need
many faults of one kind, or none of another, are both found.
"""

import random
from dataclasses import dataclass, field, fields
from typing import Final

MILLISECOND: Final = 0.001


@dataclass
class Rates:
    """Probabilities a step."""

    crash: float = 0.006
    """The process that takes the step is killed in the middle of it."""
    power_cut: float = 0.5
    """Of crashes: unsynced bytes are lost or torn, not only the memory."""
    disk_lost: float = 0.03
    """Of crashes."""
    log_error: float = 0.004
    log_read_error: float = 0.003
    late_append: float = 0.3
    """Of appends that fail or whose caller dies: they land nevertheless, and later."""
    duplicate: float = 0.03
    """Of appended frames."""
    disk_error: float = 0.002
    disk_full: float = 0.0005
    store_error: float = 0.03
    store_outage: float = 0.004
    torn_batch: float = 0.05
    """Of phases of a batch: only some of the writes take effect."""
    store_outage_after_cut: float = 0.2
    """Of batches that were torn: the store itself died."""
    late_write: float = 0.3
    """Of writes that were on their way when something died, and of what a dead process had still to write."""
    zombie: float = 0.0008
    graceful_stop: float = 0.001
    freeze: float = 0.001
    long_absence: float = 0.15
    """Of the ends of those who have a standby, or are one: it is some time before the supervisor starts them again."""
    pause: float = 0.003
    """A step takes long."""


@dataclass
class Counts:
    """What happened to a world, for the report."""

    steps: int = 0
    crashes: int = 0
    restarts: int = 0
    torn_tails: int = 0
    duplicates: int = 0
    log_errors: int = 0
    disk_faults: int = 0
    disks_lost: int = 0
    store_faults: int = 0
    torn_batches: int = 0
    late_writes: int = 0
    zombies: int = 0
    freezes: int = 0
    takeovers: int = 0
    commands: int = 0
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    trades: int = 0


@dataclass
class Faults:
    """The dice of one world. on: whether anything bad may still happen."""

    dice: random.Random
    rates: Rates = field(default_factory=Rates)
    counts: Counts = field(default_factory=Counts)
    on: bool = True

    @classmethod
    def of_seed(cls, dice: random.Random) -> "Faults":
        """Rates as this seed likes them."""
        rates = Rates()
        for kind in fields(rates):
            setattr(rates, kind.name, min(1.0, getattr(rates, kind.name) * dice.choice((0.0, 0.3, 1.0, 1.0, 2.5))))
        return cls(dice, rates)

    def strikes(self, rate: float) -> bool:
        """Whether something with this probability happens now."""
        return self.on and rate > 0.0 and self.dice.random() < rate

    def delay_s(self, least_ms: float, most_ms: float) -> float:
        """How long a step takes: mostly short, sometimes very long."""
        if self.strikes(self.rates.pause):
            return self.dice.uniform(20, 400) * MILLISECOND
        return self.dice.uniform(least_ms, most_ms) * MILLISECOND
