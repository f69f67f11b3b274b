"""Repeats are counted, overlaps cut, holes refused; checked against a reader that remembers every number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.core import SourceSequences
from services.domain.errors import GapError


@pytest.mark.parametrize(
    ("last", "first", "count", "seen", "then"),
    [
        (0, 1, 3, 0, 3),
        (3, 4, 2, 0, 5),
        (3, 1, 3, 3, 3),
        (3, 3, 1, 1, 3),
        (3, 1, 1, 1, 3),
        (3, 2, 4, 2, 5),
        (3, 4, 0, 0, 3),
        (3, 1, 0, 0, 3),
    ],
)
def test_repeats_counts_what_was_seen_before(last: int, first: int, count: int, seen: int, then: int) -> None:
    sequences = SourceSequences({"matcher-0": last})
    assert sequences.repeats("matcher-0", first, count) == seen
    assert sequences.last == {"matcher-0": then}


@pytest.mark.parametrize(("last", "first"), [(0, 2), (3, 5), (3, 2**60)])
def test_repeats_a_hole_raises_and_remembers_nothing(last: int, first: int) -> None:
    sequences = SourceSequences({"matcher-0": last} if last else None)
    before = dict(sequences.last)
    with pytest.raises(GapError, match=f"source matcher-0: expected sequence {last + 1}, got {first}"):
        sequences.repeats("matcher-0", first, 1)
    assert sequences.last == before


def test_repeats_of_a_source_without_sequences_are_never_seen() -> None:
    sequences = SourceSequences()
    assert [sequences.repeats("gateway", 0, 5) for _ in range(3)] == [0, 0, 0]
    assert sequences.last == {}


def test_repeats_sources_are_counted_apart() -> None:
    sequences = SourceSequences()
    assert sequences.repeats("matcher-0", 1, 2) == 0
    assert sequences.repeats("matcher-1", 1, 1) == 0
    assert sequences.last == {"matcher-0": 2, "matcher-1": 1}


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), max_size=30))
def test_repeats_any_deliveries_every_record_is_new_exactly_once(frames: list[tuple[int, int]]) -> None:
    sequences = SourceSequences()
    taken: list[int] = []
    for first, count in frames:
        if first > len(taken) + 1:
            with pytest.raises(GapError):
                sequences.repeats("s", first, count)
            continue
        numbers = list(range(first, first + count))
        seen = sequences.repeats("s", first, count)
        assert numbers[:seen] == [number for number in numbers if number in taken]
        taken += numbers[seen:]
    assert taken == list(range(1, len(taken) + 1))
