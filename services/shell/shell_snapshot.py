"""What a core's shell writes as a snapshot."""

from typing import Final, NamedTuple

import msgspec

from services.domain.topics import TopicPartition


class ShellSnapshot(msgspec.Struct, array_like=True):
    """What a snapshot file holds: the core, and where each output partition ended.

    All that the core had said by then lies before these ends, so a restart looks for the rest only behind them.
    """

    core: bytes
    output_ends: list[tuple[str, int, int]]

    @property
    def ends(self) -> dict[TopicPartition, int]:
        """By partition."""
        return {TopicPartition(topic, partition): end for topic, partition, end in self.output_ends}


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
