"""How near our book is to the recorded one, level by level, and why it is not where it is not.

A file of ten levels is silent about what happens further out. A level that comes into its sight from out there holds
orders that no message placed; one that was out there for a while may have lost orders that no message deleted. Such a
level is `unseen` until the recorded book shows its price empty, which is something that we know again. All the others
are `known`: the file told of every share in them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.domain.orders import Side
from services.replay.lobster import BookRow, Level, Message, MessageType

DEPTHS: Final = (1, 5, 10)


class LevelState(Enum):
    """What became of a recorded level. The value is the sentence that explains it."""

    EQUAL = "our book has the same price and size at the same place"
    SHIFTED = "our book has it, but at another place: a level before it is missing or too many"
    UNSEEN = "it came into sight from beyond the recorded levels, where no message tells what was placed or deleted"
    DIFFERENT = "every share in it was told of, and yet our book has another size"


@dataclass
class Shares:
    """Counts of (equal, compared) levels."""

    equal: int = 0
    compared: int = 0

    def add(self, equal: bool) -> None:
        self.equal += equal
        self.compared += 1

    @property
    def share(self) -> float:
        """0 to 1; 1 when nothing was compared."""
        return self.equal / self.compared if self.compared else 1.0


@dataclass
class Comparison:
    """The tally of all rows so far.

    places: equal at the same place, counted for the first n levels of each side. known: equal price and size, at
    whatever place, among the levels that the file told all about. extra: levels of ours, within the recorded range,
    that the recorded book does not have; unexplained: those of them whose price never was out of sight, so that no
    deletion there can have been missed. first_difference: the line where a level was DIFFERENT first.
    """

    places: dict[int, Shares] = field(default_factory=lambda: {depth: Shares() for depth in DEPTHS})
    known: Shares = field(default_factory=Shares)
    states: Counter[LevelState] = field(default_factory=Counter)
    extra: int = 0
    unexplained: int = 0
    rows: int = 0
    equal_rows: int = 0
    first_difference: int = 0
    _sights: dict[Side, "_Sight"] = field(default_factory=lambda: {side: _Sight(side) for side in Side})

    def add(self, message: Message, row: BookRow, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Compare our book after `message` with the recorded one. bids, asks: all of ours, best first."""
        before = self.states.copy()
        for side, ours in ((Side.Buy, bids), (Side.Sell, asks)):
            recorded = row.side(side)
            sight = self._sights[side]
            sight.look(message, recorded)
            self._add_side(message, recorded, ours, sight)
        self.rows += 1
        self.equal_rows += all(
            count == before[state] for state, count in self.states.items() if state is not LevelState.EQUAL
        )

    def _add_side(self, message: Message, recorded: list[Level], ours: Sequence[Level], sight: "_Sight") -> None:
        sizes = dict(ours)
        for place, level in enumerate(recorded):
            equal = place < len(ours) and ours[place] == level
            for depth in DEPTHS:
                if place < depth:
                    self.places[depth].add(equal)
            same = sizes.get(level.price) == level.size
            known = level.price not in sight.unseen
            if known:
                self.known.add(same)
            state = _state(equal, same, known)
            self.states[state] += 1
            if state is LevelState.DIFFERENT and not self.first_difference:
                self.first_difference = message.line
        prices = {level.price for level in recorded}
        extra = [price for price in _within(ours, recorded, sight.side) if price not in prices]
        self.extra += len(extra)
        self.unexplained += sum(not sight.was_out(price) for price in extra)


def _state(equal: bool, same: bool, known: bool) -> LevelState:
    if equal:
        return LevelState.EQUAL
    if same:
        return LevelState.SHIFTED
    return LevelState.DIFFERENT if known else LevelState.UNSEEN


def _within(ours: Sequence[Level], recorded: list[Level], side: Side) -> Iterator[int]:
    """Prices of ours that are not beyond the last recorded one."""
    if recorded:
        last = recorded[-1].price
        yield from (level.price for level in ours if (level.price >= last if side == Side.Buy else level.price <= last))


class _Sight:
    """What one side of the recorded book shows, from row to row. unseen: prices of unseen levels in sight."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.unseen: set[int] = set()
        self._last: int | None = None
        self._nearest: int | None = None
        """The nearest that the end of sight ever came to the best price."""

    def was_out(self, price: int) -> bool:
        """Whether the price was beyond the recorded levels at some time."""
        return self._nearest is not None and self._beyond(price, self._nearest)

    def look(self, message: Message, recorded: list[Level]) -> None:
        """The next row. The first one is where seeding begins: all of it is known."""
        prices = {level.price for level in recorded}
        self.unseen &= prices
        if self._last is not None:
            for level in recorded:
                if self._beyond(level.price, self._last) and not _is_new(message, self.side, level):
                    self.unseen.add(level.price)
        self._last = recorded[-1].price if recorded else None
        if self._last is not None and (self._nearest is None or self._beyond(self._nearest, self._last)):
            self._nearest = self._last

    def _beyond(self, price: int, last: int) -> bool:
        return price < last if self.side == Side.Buy else price > last


def _is_new(message: Message, side: Side, level: Level) -> bool:
    """Whether the message placed the whole level."""
    return message.type is MessageType.New and message.side == side and (message.price, message.size) == level
