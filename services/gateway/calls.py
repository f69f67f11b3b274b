"""One call of the API: how it is documented, and what comes before its own work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.auth import Caller, client_address
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import read_body, read_query

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Call:
    """A route and its documentation. The endpoint's docstring is its description.

    scope: what the caller's key must have; None: anybody may call.
    answer: a struct, a tuple of those it may be, or str for plain text.
    refusals: statuses beside those that every call may answer.
    example: a body that works on a demo exchange; examples: of parameters in path and query.
    """

    method: str
    path: str
    endpoint: Endpoint
    tag: str
    summary: str
    answer: Any
    scope: Scope | None = None
    body: Any = None
    example: Any = None
    query: Any = None
    refusals: tuple[int, ...] = ()
    examples: dict[str, Any] = field(default_factory=dict)
    status: int = 200


class Admitted(NamedTuple):
    """A request whose sender is known. body: as it was sent; empty for GET and DELETE."""

    caller: Caller
    params: dict[str, str]
    body: bytes


async def admit(gateway: Gateway, request: Request, scope: Scope) -> Admitted:
    """Read the request and find out who sent it. Raises ApiError 4xx."""
    params = read_query(request)
    body = b""
    if request.method not in ("GET", "DELETE"):
        body = await read_body(request, gateway.config.max_body_bytes)
    return Admitted(await gateway.auth.caller(request, params, body, scope), params, body)


def admit_anybody(gateway: Gateway, request: Request) -> dict[str, str]:
    """The parameters of a call that needs no credentials. Raises ApiError 4xx."""
    gateway.limiter.take_anonymous(client_address(request))
    return read_query(request)
