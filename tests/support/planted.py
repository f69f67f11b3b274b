"""Faults planted in the simulated world: how many seeds may be needed to see one, and what it is called."""

import re
from typing import Any

from services.simulation.programs import Parts
from services.simulation.run import simulate

SEEDS = 60
STEPS = 6_000


def planted(parts: Any) -> str | None:
    """The name of the part that is not production's, as the id of a test; None for what are no parts."""
    if not isinstance(parts, Parts):
        return None
    ours = [getattr(parts, kind) for kind in parts.__dataclass_fields__ if getattr(parts, kind) != getattr(Parts, kind)]
    return str(ours[0].__name__)


def check_found(parts: Parts, sentence: str) -> None:
    """Raises AssertionError unless the first of SEEDS seeds that shows anything matches `sentence`, an expression."""
    verdicts = (simulate(seed, STEPS, parts) for seed in range(SEEDS))
    found = next((verdict.sentence for verdict in verdicts if verdict.sentence), "")
    assert re.search(sentence, found), found or "nothing was found"
