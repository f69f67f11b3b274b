"""How what a core says is cut into frames."""

import pytest

from services.domain.messages import MatchResult, decode_frame, encode_frame
from services.domain.topics import ENGINE_OUTPUTS, ORDERS
from services.matcher.engine import MatcherEngine
from services.shell.output_frames import MAX_FRAME_BYTES, MAX_FRAME_RECORDS, output_frames
from tests.support.matcher_commands import buy, sell

MAKERS = 10_000
"""As many orders as one user may have open."""


def _results(sweeps: int, makers: int) -> list[MatchResult]:
    """The results of orders that each trade with so many."""
    engine = MatcherEngine(0, 1)
    price, resting = 1_000_000, range(1, 1 + sweeps * makers)
    commands = [sell(n, price, 1, user_id=1001) for n in resting]
    commands += [buy(len(resting) + n, price, makers, user_id=1002) for n in range(1, 1 + sweeps)]
    frame = decode_frame(ORDERS, encode_frame("ubscore-0", 1, commands))
    outputs = {output.partition.topic: output.records for output in engine.apply(frame, 0)}
    return outputs[ENGINE_OUTPUTS][len(resting) :]


@pytest.mark.parametrize(("sweeps", "makers", "bound"), [(500, 20, MAX_FRAME_BYTES), (3, MAKERS, 2_000_000)])
def test_output_frames_large_results_are_cut_by_bytes_and_say_everything_in_order(
    sweeps: int, makers: int, bound: int
) -> None:
    results = _results(sweeps, makers)
    frames = list(output_frames("matcher-0", 7, results))
    assert len(frames) > 1
    assert max(map(len, frames)) <= bound
    decoded = [decode_frame(ENGINE_OUTPUTS, data) for data in frames]
    assert [record for frame in decoded for record in frame.records] == results
    sequence = 7
    for frame in decoded:
        assert frame.first_sequence == sequence
        sequence += len(frame.records)


def test_output_frames_many_small_records_are_cut_by_number() -> None:
    results = _results(1, 1) * (2 * MAX_FRAME_RECORDS + 1)
    frames = [decode_frame(ENGINE_OUTPUTS, data) for data in output_frames("matcher-0", 1, results)]
    assert [len(frame.records) for frame in frames] == [MAX_FRAME_RECORDS, MAX_FRAME_RECORDS, 1]
