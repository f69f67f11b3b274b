"""The bytes of journal segments and snapshots: how they are written, and how they are read without trusting them.

    journal-<first offset>.log      header, then records
        header      magic 8 | version u16 | source length u16 | first offset u64 | running hash 16 | source | CRC32C u32
        record      payload length u32 | CRC32C u32 | offset u64 | running hash 16 | payload
    snapshot-<next offset>.snap
        magic 8 | version u16 | source length u16 | next offset u64 | running hash 16 | digest 32
        source | data | CRC32C u32

Integers are little-endian. A CRC covers everything else of its header, record or snapshot. A record's running hash is
blake2b-128 of the hash before it, its offset and its payload; a header's or snapshot's is the one before its offset:
so a record that was taken out, put in, changed or moved breaks the chain even where its CRC is right.

Pure: files are bytes here. `chain` puts them together; `journal` and `check` read and write them.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import google_crc32c

from services.adapters.ports import StoredFrame

VERSION: Final = 1
FIRST_HASH: Final = bytes(16)
"""The running hash before offset 0."""

_SEGMENT_MAGIC: Final = b"EXJOURNL"
_SNAPSHOT_MAGIC: Final = b"EXSNAPSH"
_HEADER = struct.Struct("<8sHHQ16s")
_RECORD = struct.Struct("<IIQ16s")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")
_DIGEST_BYTES: Final = 32

_SEGMENT_NAME = re.compile(r"journal-([0-9]{20})\.log", re.ASCII)
_SNAPSHOT_NAME = re.compile(r"snapshot-([0-9]{20})\.snap", re.ASCII)


class Fault(NamedTuple):
    """Where a file stops being what was written, and in which words."""

    position: int
    """Byte position in the file: the start of the first record (or header) that is not valid."""
    why: str
    torn: bool
    """Nothing valid follows, so an interrupted write explains it (when it is the last segment)."""


class SegmentHeader(NamedTuple):
    source: str
    first_offset: int
    hash_before: bytes


class Segment(NamedTuple):
    """A segment file as it was found: the valid records from its start, and the first fault."""

    header: SegmentHeader | None
    """None when the header itself is at fault."""
    records: int
    valid_bytes: int
    """Header and valid records."""
    next_offset: int
    hash_after: bytes
    """The running hash after the last valid record."""
    fault: Fault | None


class Snapshot(NamedTuple):
    source: str
    next_offset: int
    hash_before: bytes
    """The running hash of the journal before `next_offset`."""
    digest: bytes
    data: bytes


class NotValidError(ValueError):
    """A header, record or snapshot cannot be used; the message says why.

    intact: its CRC is right, so no crash or decay explains it: somebody moved, mixed or newly wrote it.
    """

    def __init__(self, why: str, *, intact: bool = False) -> None:
        super().__init__(why)
        self.intact = intact


def segment_name(first_offset: int) -> str:
    return f"journal-{first_offset:020d}.log"


def snapshot_name(next_offset: int) -> str:
    return f"snapshot-{next_offset:020d}.snap"


def segment_offset(name: str) -> int | None:
    """The first offset in a segment's name; None when it is not a segment's name."""
    match = _SEGMENT_NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def snapshot_offset(name: str) -> int | None:
    """The next offset in a snapshot's name; None when it is not a snapshot's name."""
    match = _SNAPSHOT_NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def encode_header(header: SegmentHeader) -> bytes:
    source = header.source.encode()
    body = _HEADER.pack(_SEGMENT_MAGIC, VERSION, len(source), header.first_offset, header.hash_before) + source
    return body + _CRC.pack(google_crc32c.value(body))


def decode_header(data: bytes) -> tuple[SegmentHeader, int]:
    """The header at the start of a segment, and its size in bytes. Raises NotValidError."""
    if len(data) < _HEADER.size:
        raise NotValidError("header is incomplete")
    magic, version, source_length, first_offset, hash_before = _HEADER.unpack_from(data)
    end = _HEADER.size + source_length
    if len(data) < end + _CRC.size:
        raise NotValidError("header is incomplete")
    if google_crc32c.value(data[:end]) != _CRC.unpack_from(data, end)[0]:
        raise NotValidError("header's CRC does not match")
    _check_kind(magic, _SEGMENT_MAGIC, version)
    return SegmentHeader(data[_HEADER.size : end].decode(), first_offset, hash_before), end + _CRC.size


def encode_records(frames: Sequence[StoredFrame], hash_before: bytes) -> tuple[bytes, bytes]:
    """The records of consecutive frames, and the running hash after them."""
    parts = []
    running = hash_before
    for offset, payload, _ in frames:
        running = next_hash(running, offset, payload)
        parts.append(_RECORD.pack(len(payload), _record_crc(offset, running, payload), offset, running))
        parts.append(payload)
    return b"".join(parts), running


def next_hash(running: bytes, offset: int, payload: bytes) -> bytes:
    return blake2b(running + _OFFSET.pack(offset) + payload, digest_size=16).digest()


def scan_segment(data: bytes, name: str) -> Segment:
    """Verify a whole segment: CRC, running hash and offset of every record, up to the first fault."""
    named_offset = segment_offset(name)
    assert named_offset is not None
    try:
        header, position = decode_header(data)
        if header.first_offset != named_offset:
            raise NotValidError(f"header has offset {header.first_offset}, unlike the file's name", intact=True)
    except NotValidError as error:
        return Segment(None, 0, 0, named_offset, FIRST_HASH, _fault(data, 0, named_offset, error))
    offset, running, fault = header.first_offset, header.hash_before, None
    while position < len(data):
        try:
            size, running = _check_record(data, position, offset, running)
        except NotValidError as error:
            fault = _fault(data, position, offset, error)
            break
        position, offset = position + size, offset + 1
    return Segment(header, offset - header.first_offset, position, offset, running, fault)


def read_records(data: bytes, segment: Segment) -> Iterator[StoredFrame]:
    """The valid records of a segment that was scanned, unverified this time."""
    assert segment.header is not None
    position = len(encode_header(segment.header))
    while position < segment.valid_bytes:
        length, _, offset, _ = _RECORD.unpack_from(data, position)
        position += _RECORD.size + length
        yield StoredFrame(offset, data[position - length : position])


def encode_snapshot(snapshot: Snapshot) -> bytes:
    source = snapshot.source.encode()
    head = _HEADER.pack(_SNAPSHOT_MAGIC, VERSION, len(source), snapshot.next_offset, snapshot.hash_before)
    body = b"".join((head, snapshot.digest, source, snapshot.data))
    return body + _CRC.pack(google_crc32c.value(body))


def decode_snapshot(data: bytes, name: str) -> Snapshot:
    """Raises NotValidError when CRC, digest or name do not match, with the reason."""
    if len(data) < _HEADER.size + _DIGEST_BYTES + _CRC.size:
        raise NotValidError("snapshot is incomplete")
    end = len(data) - _CRC.size
    if google_crc32c.value(data[:end]) != _CRC.unpack_from(data, end)[0]:
        raise NotValidError("snapshot's CRC does not match")
    magic, version, source_length, next_offset, hash_before = _HEADER.unpack_from(data)
    _check_kind(magic, _SNAPSHOT_MAGIC, version)
    source_at = _HEADER.size + _DIGEST_BYTES
    source = data[source_at : source_at + source_length].decode()
    snapshot = Snapshot(
        source, next_offset, hash_before, data[_HEADER.size : source_at], data[source_at + source_length : end]
    )
    if state_digest(snapshot.data) != snapshot.digest:
        raise NotValidError("snapshot's digest does not match its data")
    if snapshot_name(next_offset) != name:
        raise NotValidError(f"snapshot has offset {next_offset}, unlike the file's name", intact=True)
    return snapshot


def state_digest(data: bytes) -> bytes:
    """blake2b-256, as `Core.digest` is of `Core.snapshot`."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _check_kind(magic: bytes, expected: bytes, version: int) -> None:
    # Reached only with a right CRC: these bytes are as somebody wrote them.
    if magic != expected:
        raise NotValidError("is another kind of file", intact=True)
    if version != VERSION:
        raise NotValidError(f"has format version {version}; this program knows {VERSION}", intact=True)


def _record_crc(offset: int, running: bytes, payload: bytes) -> int:
    body = _OFFSET.pack(offset) + running + payload
    crc: int = google_crc32c.extend(google_crc32c.value(_LENGTH.pack(len(payload))), body)
    return crc


def _check_record(data: bytes, position: int, expected: int, running: bytes) -> tuple[int, bytes]:
    """The size in bytes of the record at `position` and the running hash after it. Raises NotValidError."""
    if position + _RECORD.size > len(data):
        raise NotValidError("record is incomplete")
    length, crc, offset, stored = _RECORD.unpack_from(data, position)
    end = position + _RECORD.size + length
    if end > len(data):
        raise NotValidError("record is incomplete")
    payload = data[position + _RECORD.size : end]
    if _record_crc(offset, stored, payload) != crc:
        raise NotValidError("record's CRC does not match")
    if offset != expected:
        raise NotValidError(f"record has offset {offset} instead of {expected}", intact=True)
    if next_hash(running, offset, payload) != stored:
        raise NotValidError("record's running hash does not continue the one before", intact=True)
    return end - position, stored


def _fault(data: bytes, position: int, offset: int, error: NotValidError) -> Fault:
    torn = not error.intact and not _valid_record_follows(data, position, offset)
    return Fault(position, str(error), torn)


def _valid_record_follows(data: bytes, start: int, lowest_offset: int) -> bool:
    """Whether a record of `lowest_offset` or later starts at any byte position from `start` on.

    Then an interrupted write does not explain what is wrong at `start`: somebody damaged what was flushed.
    """
    size = len(data)
    # No record is shorter than its head, which bounds the offsets that can follow and makes chance hits rare.
    highest_offset = lowest_offset + size // _RECORD.size
    for position in range(start, size - _RECORD.size + 1):
        length, crc, offset, stored = _RECORD.unpack_from(data, position)
        payload_at = position + _RECORD.size
        plausible = lowest_offset <= offset <= highest_offset and payload_at + length <= size
        if plausible and _record_crc(offset, stored, data[payload_at : payload_at + length]) == crc:
            return True
    return False
