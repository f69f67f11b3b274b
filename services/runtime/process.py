"""What the process itself needs, whatever runs in it."""

import gc
import sys
from typing import Final

_YOUNG_OBJECTS: Final = 200_000
"""New objects between two collections of the youngest generation."""


_SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter while others wait: the loop must not starve the store's writer."""


def tune_process() -> None:
    """Settings of the interpreter that fit the work. Call it once, when everything is imported."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    _tune_garbage_collection()


def _tune_garbage_collection() -> None:
    """Have the collector of reference cycles run seldom.

    The cores hold millions of long-lived objects without cycles, and make hundreds of thousands of short-lived ones a
    second, which reference counts free. With Python's defaults the collector walks them all again and again: it took
    more than a third of the local pipeline's time. Cycles (of requests, of errors) are still found, later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
