"""Reading a request strictly: what is not exactly right is refused with a sentence that names the field.

JSON libraries forgive too much for money: here a key that comes twice, NaN, a number where a decimal text belongs, an
unknown field or a million brackets are all refused before anything else happens.
"""

import json
import re
from collections import Counter
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import unquote_plus

import msgspec
from starlette.requests import Request

from services.gateway.errors import ApiError, Code, bad_input
from services.gateway.signatures import SIGNING_PARAMETERS

MAX_DEPTH: Final = 8
MAX_QUERY_BYTES: Final = 4_096
DRAIN_BYTES: Final = 16 * 2**20
"""Of a body that is too large, so much is read and thrown away, so that the client gets to read the answer."""

T = TypeVar("T", bound=msgspec.Struct)

# The closing quote is optional: a text without one ends with the body, instead of being tried again at every quote.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AT_FIELD = re.compile(r"^(.*) - at `\$\.?([^`]*)`$", re.DOTALL)
_NO_FIELD = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PATTERN = re.compile(r"matching regex '(.*)'", re.DOTALL)
_WORD_CODES: Final = {
    "side": Code.INVALID_SIDE,
    "order_type": Code.INVALID_ORDER_TYPE,
    "time_in_force": Code.INVALID_TIME_IN_FORCE,
}


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _DuplicateKeyError(next(name for name, count in counts.items() if count > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body. Raises ApiError 413 when it has more than `limit` bytes."""
    length = request.headers.get("content-length", "")
    too_large = length.isascii() and length.isdigit() and int(length[:19]) > limit
    if too_large and int(length[:19]) > DRAIN_BYTES:
        raise _too_large(limit)
    receive = request.receive
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_input("The request ended before its body.", Code.UNREADABLE_BODY)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > DRAIN_BYTES:
            break
        if size <= limit:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> ApiError:
    return bad_input(f"The request body must have at most {limit} bytes.", Code.UNREADABLE_BODY, 413)


def parse_body(request: Request, body: bytes, kind: type[T]) -> T:
    """The body as a `kind`, which must be a struct that forbids unknown fields. Raises ApiError 4xx."""
    content_type = request.headers.get("content-type", "")
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "application/json" or not _is_utf8(parameters):
        raise bad_input("The Content-Type must be application/json, in UTF-8.", Code.UNREADABLE_BODY, 415)
    return _convert(parse_json(body), kind)


def _is_utf8(parameters: str) -> bool:
    return not parameters or parameters.strip().lower().replace('"', "") in ("", "charset=utf-8", "charset=utf8")


def parse_json(body: bytes) -> Any:
    """One JSON value. Raises ApiError 400 when it is none, or has a key twice, or nests too deeply."""
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            # Half of a surrogate pair can be written in JSON, but is no text.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except _DuplicateKeyError as error:
        raise bad_input(f"Field {_shown(str(error))} is there twice.", Code.UNREADABLE_BODY) from error
    except (UnicodeError, json.JSONDecodeError) as error:
        raise bad_input("The request body is not valid JSON in UTF-8.", Code.UNREADABLE_BODY) from error
    except (ValueError, RecursionError) as error:
        raise bad_input("The request body holds a number that is too long.", Code.UNREADABLE_BODY) from error
    return value


def _check_depth(body: bytes) -> None:
    depth = 0
    for byte in _STRINGS.sub(b"", body):
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > MAX_DEPTH:
            raise bad_input(f"The request body nests deeper than {MAX_DEPTH} levels.", Code.UNREADABLE_BODY)


def read_query(request: Request) -> dict[str, str]:
    """The query's parameters. Raises ApiError 400 when one is there twice or is not text."""
    raw: bytes = request.scope["query_string"]
    if not raw:
        return {}
    if len(raw) > MAX_QUERY_BYTES:
        raise bad_input(f"The query must have at most {MAX_QUERY_BYTES} bytes.", status=414)
    params: dict[str, str] = {}
    try:
        for part in raw.decode("ascii").split("&"):
            name, _, value = part.partition("=")
            if _BAD_PERCENT.search(part):
                raise bad_input("The query holds a % that is no percent-encoding.")
            name = unquote_plus(name, errors="strict")
            if name in params:
                raise bad_input(f"Parameter {_shown(name)} is there twice.", Code.UNKNOWN_PARAMETER)
            if part:
                params[name] = unquote_plus(value, errors="strict")
    except UnicodeError as error:
        raise bad_input("The query is not percent-encoded UTF-8.") from error
    return params


def parse_query(params: dict[str, str], kind: type[T]) -> T:
    """The parameters (without those of a signature) as a `kind`. Raises ApiError 400."""
    values: dict[str, str | int] = {name: text for name, text in params.items() if name not in SIGNING_PARAMETERS}
    # Not left to msgspec, which takes 1e3 and 1000.0 for 1000, and null for nothing.
    for name in _whole_numbers(kind) & values.keys():
        if _WHOLE.fullmatch(params[name]) is None:
            raise bad_input(f"Parameter '{name}' must be a whole number, in plain digits.")
        values[name] = int(params[name])
    return _convert(values, kind)


@cache
def _whole_numbers(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Which parameters of a query are numbers."""
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    return frozenset(field.encode_name for field in described.fields if _is_whole(field.type))


def _is_whole(described: msgspec.inspect.Type) -> bool:
    if isinstance(described, msgspec.inspect.Metadata):
        return _is_whole(described.type)
    if isinstance(described, msgspec.inspect.UnionType):
        return any(_is_whole(part) for part in described.types)
    return isinstance(described, msgspec.inspect.IntType)


def _convert(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from error


def _explain(reason: str) -> ApiError:
    """msgspec's sentence, with the name of the field where a person looks for it."""
    missing = _NO_FIELD.match(reason)
    if missing is not None:
        return bad_input(f"Mandatory parameter '{missing.group(1)}' was not sent.", Code.MISSING_PARAMETER)
    unknown = _UNKNOWN_FIELD.match(reason)
    if unknown is not None:
        return bad_input(f"Unknown parameter {_shown(unknown.group(1))} was sent.", Code.UNKNOWN_PARAMETER)
    at_field = _AT_FIELD.match(reason)
    if at_field is not None:
        return _explain_field(at_field.group(2), at_field.group(1))
    return bad_input(f"The request body: {_lower_first(reason)}.")


def _explain_field(name: str, reason: str) -> ApiError:
    pattern = _PATTERN.search(reason)
    if pattern is not None:
        legal = pattern.group(1).replace("\\\\", "\\").replace("\\Z", "$")
        return bad_input(f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    no_such_word = reason.startswith("Invalid enum")
    code = _WORD_CODES.get(name, Code.ILLEGAL_PARAMETER) if no_such_word else Code.ILLEGAL_PARAMETER
    return bad_input(f"Parameter '{name}': {_lower_first(reason)}.", code)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(name: str) -> str:
    """A name that a client made up, short enough to be sent back."""
    return repr(name[:40])
