"""How a core's shell tells where a batch stands. It knows no fine clock itself: who is told does."""

from collections.abc import Sequence
from typing import Literal, Protocol

from services.adapters.ports import StoredFrame

Stage = Literal["journal", "apply", "publish"]


class BatchWatch(Protocol):
    """Told of one batch after the other; must return at once."""

    def began(self, frames: Sequence[StoredFrame]) -> None:
        """These frames were read."""

    def passed(self, stage: Stage) -> None:
        """The batch is done with a stage; they come in the order of `Stage`."""


class NobodyWatches:
    """`BatchWatch` of nobody."""

    def began(self, frames: Sequence[StoredFrame]) -> None:
        pass

    def passed(self, stage: Stage) -> None:
        pass
