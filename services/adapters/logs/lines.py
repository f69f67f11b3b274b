"""How a log line looks: its members, their order, what is left out because it is a secret."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

REDACTED: Final = "[redacted]"

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_RESERVED: Final = {"timestamp", "level", "service", "shard", "event"}
_SECRET_WORDS: Final = ("secret", "signature", "authorization", "password", "private_key", "access_token")


class Entry(NamedTuple):
    """Lines to be written. One line with `fields`, or one for each of `items` when there is `to_fields`."""

    time_ns: int
    level: str
    service: str
    head: bytes
    """The encoded members between level and the fields: service, shard."""
    event: str
    fields: Mapping[str, Any]
    items: Sequence[Any] = ()
    to_fields: Callable[[Any], Mapping[str, Any]] | None = None


def encode_head(service: str, shard: int | None) -> bytes:
    """The members that all lines of a service share."""
    return _ENCODER.encode({"service": service} if shard is None else {"service": service, "shard": shard})[1:-1]


def encode_lines(entry: Entry) -> Iterable[bytes]:
    """The bytes of an entry, one a line. Raises what `to_fields` raises."""
    head = b'{"timestamp":"%b","level":"%b",%b,"event":' % (_timestamp(entry), entry.level.encode(), entry.head)
    if entry.to_fields is None:
        return (_line(head, entry.event, entry.fields),)
    to_fields, event = entry.to_fields, entry.event
    return [_line(head, event, to_fields(item)) for item in entry.items]


def _line(head: bytes, event: str, fields: Mapping[str, Any]) -> bytes:
    if _has_reserved(tuple(fields)):
        fields = dict(fields)
        event = fields.pop("event", event)
        for key in _RESERVED & fields.keys():
            fields[f"{key}_"] = fields.pop(key)
    if _has_secret(tuple(fields)) or any(type(value) is dict for value in fields.values()):
        fields = _redacted(fields)
    tail = _encode(fields)[1:]
    return head + _encode(event) + (b"}\n" if tail == b"}" else b"," + tail + b"\n")


def _encode(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (UnicodeError, OverflowError, TypeError, ValueError, RecursionError):
        # Lone surrogates, integers beyond 64 bits and the like: seldom, and still worth a line.
        if isinstance(value, Mapping):
            plain = {str(key).encode("utf-8", "replace").decode(): ascii(item) for key, item in value.items()}
            return _ENCODER.encode(plain)
        return _ENCODER.encode(ascii(value))


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS)


@lru_cache(maxsize=4096)
def _has_secret(keys: tuple[str, ...]) -> bool:
    return any(map(_is_secret, keys))


@lru_cache(maxsize=4096)
def _has_reserved(keys: tuple[str, ...]) -> bool:
    return not _RESERVED.isdisjoint(keys)


def _redacted(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: REDACTED if _is_secret(str(key)) else _redacted(member) for key, member in value.items()}


def _timestamp(entry: Entry) -> bytes:
    seconds, rest = divmod(entry.time_ns, 1_000_000_000)
    return b"%b.%03dZ" % (utc_second(seconds), rest // 1_000_000)


@lru_cache(maxsize=16)
def utc_second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
