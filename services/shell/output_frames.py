"""What a core says, cut into frames that a log takes."""

from collections.abc import Iterator
from typing import Any, Final

from services.domain.messages import encode_frame

MAX_FRAME_RECORDS: Final = 1_000
"""More output records than this go out in several frames, so that readers are never held up by one."""
MAX_FRAME_BYTES: Final = 512 * 1024
"""So do more bytes: a log refuses what is too big. Only a record that alone is bigger gets a bigger frame."""


def output_frames(source: str, first_sequence: int, records: list[Any]) -> Iterator[bytes]:
    """The frames that say these records, in order."""
    for at in range(0, len(records), MAX_FRAME_RECORDS):
        yield from _cut(source, first_sequence + at, records[at : at + MAX_FRAME_RECORDS])


def _cut(source: str, first_sequence: int, records: list[Any]) -> Iterator[bytes]:
    data = encode_frame(source, first_sequence, records)
    if len(data) <= MAX_FRAME_BYTES or len(records) == 1:
        yield data
        return
    half = len(records) // 2
    yield from _cut(source, first_sequence, records[:half])
    yield from _cut(source, first_sequence + half, records[half:])
