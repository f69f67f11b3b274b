"""The hash chain: every tampering is found, at the exact sequence."""

from hashlib import blake2b

import msgspec
import pytest

from services.domain.messages import MatchResult
from services.matcher.chain import GENESIS, ChainBreak, ChainVerifier, link
from tests.support.venues import played


@pytest.fixture(scope="module")
def results() -> list[MatchResult]:
    return played(3, 60).results


def first_break(results: list[MatchResult]) -> ChainBreak | None:
    verifier = ChainVerifier()
    for result in results:
        broken = verifier.feed(result)
        if broken is not None:
            return broken
    return None


def test_link_is_blake2b_over_previous_sequence_position_and_body() -> None:
    data = bytes(16) + bytes(7) + b"\x01" + bytes(7) + b"\x02" + b"body"
    assert link(GENESIS, 1, 2, b"body") == blake2b(data, digest_size=16).digest()


def test_chain_of_an_engine_is_whole_and_ends_at_its_hash() -> None:
    venue = played(4, 100)
    verifier = ChainVerifier()
    assert [verifier.feed(result) for result in venue.results] == [None] * 100
    assert (verifier.sequence, verifier.hash) == (venue.engine.sequence, venue.engine.hash)
    assert verifier.position == venue.engine.next_offset - 1


def test_chain_goes_on_from_a_trusted_link(results: list[MatchResult]) -> None:
    verifier = ChainVerifier(results[9].sequence, results[9].hash, results[9].position)
    assert all(verifier.feed(result) is None for result in results[10:])


@pytest.mark.parametrize("index", [0, 7, 59])
def test_any_changed_byte_of_a_result_is_found(results: list[MatchResult], index: int) -> None:
    good = msgspec.msgpack.encode(results[index])
    before = results[:index]
    for place in range(len(good)):
        for mask in (0x01, 0x80, 0xFF):
            data = bytearray(good)
            data[place] ^= mask
            try:
                bad = msgspec.msgpack.decode(bytes(data), type=MatchResult)
            except msgspec.DecodeError:
                continue
            broken = first_break([*before, bad])
            assert broken is not None, (place, mask)
            assert broken.sequence == index + 1


@pytest.mark.parametrize("index", [0, 20, 58])
def test_dropped_result_is_found_at_its_sequence(results: list[MatchResult], index: int) -> None:
    broken = first_break(results[:index] + results[index + 1 :])
    assert broken == ChainBreak(
        index + 1, results[index + 1].position, f"expected sequence {index + 1}, got {index + 2}"
    )


def test_swapped_results_are_found_at_the_first_of_them(results: list[MatchResult]) -> None:
    swapped = [*results[:5], results[6], results[5], *results[7:]]
    broken = first_break(swapped)
    assert broken is not None
    assert broken.sequence == 6


def test_repeated_result_is_found(results: list[MatchResult]) -> None:
    broken = first_break([*results[:5], results[4], *results[5:]])
    assert broken is not None
    assert broken.sequence == 6


def test_forged_result_with_a_right_hash_breaks_its_successor(results: list[MatchResult]) -> None:
    old = results[5]
    body = bytes(results[6].body)
    new_hash = link(old.previous_hash, old.sequence, old.position, body)
    forged = MatchResult(old.sequence, old.position, old.previous_hash, new_hash, msgspec.Raw(body))
    broken = first_break([*results[:5], forged, *results[6:]])
    assert broken is not None
    assert broken.sequence == 7


def test_forged_position_that_goes_back_or_cannot_be_is_found(results: list[MatchResult]) -> None:
    good = results[5]
    for position in (results[4].position - 1, -1, 2**63):
        body = bytes(good.body)
        new_hash = link(good.previous_hash, good.sequence, position, body) if position >= 0 else good.hash
        forged = MatchResult(good.sequence, position, good.previous_hash, new_hash, good.body)
        broken = first_break([*results[:5], forged])
        assert broken is not None
        assert (broken.sequence, broken.position) == (6, position)


def test_verifier_stays_at_the_last_good_link_after_a_break(results: list[MatchResult]) -> None:
    verifier = ChainVerifier()
    assert verifier.feed(results[0]) is None
    assert verifier.feed(results[2]) is not None
    assert verifier.sequence == 1
    assert verifier.feed(results[1]) is None
