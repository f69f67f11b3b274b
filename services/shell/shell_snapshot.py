"""What a core's shell writes as a snapshot."""

from typing import Final, NamedTuple

import msgspec

from services.domain.topics import TopicPartition
from services.shell.output_partitions import Said


class ShellSnapshot(msgspec.Struct, array_like=True):
    """What a snapshot file holds: the core, where each output partition ended, and what had been said there.

    All that the core had said by then lies before these ends, so a restart looks for the rest only behind them. But
    another instance, which was ahead, may have said more before them: `said` are the last sequences, in the same order.
    """

    core: bytes
    output_ends: list[tuple[str, int, int]]
    said: list[int] = []

    @property
    def ends(self) -> dict[TopicPartition, Said]:
        """By partition: the end, and the last sequence before it as far as it was known."""
        said = self.said or [0] * len(self.output_ends)
        return {
            TopicPartition(topic, partition): Said(sequence, end)
            for (topic, partition, end), sequence in zip(self.output_ends, said, strict=True)
        }


class TakenSnapshot(NamedTuple):
    """A snapshot that was taken for somebody else than the journal.

    data: an encoded ShellSnapshot, as `seed_journal` takes it. digest: of the core at `next_offset`.
    """

    data: bytes
    next_offset: int
    digest: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(ShellSnapshot)


def encode_shell_snapshot(snapshot: ShellSnapshot) -> bytes:
    """The bytes of a snapshot."""
    return _ENCODER.encode(snapshot)


def decode_shell_snapshot(data: bytes) -> ShellSnapshot:
    """What `encode_shell_snapshot` wrote. Raises msgspec.DecodeError when it is none."""
    return _DECODER.decode(data)
