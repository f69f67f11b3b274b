"""Rows or frames as a stream of bytes, in compressed chunks, so that nobody ever holds a whole table. Pure.

    chunk     length u32, big-endian | zlib of a msgpack array of records

A row is a map, so that a later version of the program may have more columns; a frame is (offset, bytes).
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from services.domain.errors import BackupError

CHUNK_RECORDS: Final = 2_000
MAX_CHUNK_BYTES: Final = 256 * 2**20
"""A length beyond this is damage, not data: a chunk of frames is as long as a few reads of the log."""
_LEVEL: Final = 3
_LENGTH: Final = struct.Struct(">I")

R = TypeVar("R")


def encode_chunk(records: Sequence[Any]) -> bytes:
    """One chunk."""
    packed = zlib.compress(msgspec.msgpack.encode(records), _LEVEL)
    return _LENGTH.pack(len(packed)) + packed


def decode_chunks(blocks: Iterable[bytes], kind: type[R], name: str) -> Iterator[list[R]]:
    """The records, a chunk at a time. name: of the file. Raises BackupError when it is no such stream."""
    decoder: msgspec.msgpack.Decoder[list[R]] = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]
    for packed in _packed(blocks, name):
        try:
            yield decoder.decode(zlib.decompress(packed))
        except (zlib.error, msgspec.DecodeError) as error:
            raise BackupError(f"{name}: is damaged: {error}") from error


def _packed(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    buffer = bytearray()
    for block in blocks:
        buffer += block
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > MAX_CHUNK_BYTES:
                raise BackupError(f"{name}: is damaged: a chunk of {length} bytes")
            end = _LENGTH.size + length
            if len(buffer) < end:
                break
            yield bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
    if buffer:
        raise BackupError(f"{name}: ends within a chunk")
