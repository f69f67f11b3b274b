"""The hash chain over a matcher shard's results: who changes, drops or reorders one breaks every link after it.

    hash = blake2b-128(previous hash + sequence + position + body)      sequence and position: 8 bytes, big endian

The first link's previous hash is `GENESIS`. `exchange verify` walks the chain with a `ChainVerifier`.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from services.domain.messages import MatchResult

HASH_SIZE: Final = 16
"""Bytes."""

GENESIS: Final = bytes(HASH_SIZE)


def link(previous_hash: bytes, sequence: int, position: int, body: bytes) -> bytes:
    """The hash of one result; `body` as it was encoded."""
    head = previous_hash + sequence.to_bytes(8, "big") + position.to_bytes(8, "big")
    return blake2b(head + body, digest_size=HASH_SIZE).digest()


class ChainBreak(NamedTuple):
    """Where a chain is broken first. sequence: the one that was expected there; position: what its record claims."""

    sequence: int
    position: int
    reason: str


class ChainVerifier:
    """Follows a chain from its start, or from any link that is trusted.

    sequence, position, hash: of the last good link. A chain cut short at its end looks whole: compare `sequence` and
    `hash` with the matcher's own.
    """

    def __init__(self, sequence: int = 0, previous_hash: bytes = GENESIS, position: int = 0) -> None:
        self.sequence = sequence
        self.position = position
        self.hash = previous_hash

    def feed(self, result: MatchResult) -> ChainBreak | None:
        """Check the next result and step over it; returns what is wrong with it, and stays before it, otherwise."""
        expected = self.sequence + 1
        reason = self._fault(result, expected)
        if reason:
            return ChainBreak(expected, result.position, reason)
        self.sequence, self.position, self.hash = expected, result.position, result.hash
        return None

    def _fault(self, result: MatchResult, expected: int) -> str:
        if result.sequence != expected:
            return f"expected sequence {expected}, got {result.sequence}"
        if result.previous_hash != self.hash:
            return f"sequence {expected} does not continue the hash {self.hash.hex()}"
        if not self.position <= result.position < 1 << 63:
            return f"sequence {expected} has position {result.position}, after {self.position}"
        if result.hash != link(result.previous_hash, expected, result.position, bytes(result.body)):
            return f"sequence {expected} does not have the hash that its content gives"
        return ""
