"""The console: a page for people, at /. It is files beside this module, and calls the API as any other program does.

Nothing is built or fetched from elsewhere, and the page's policy (CSP) lets the browser load nothing but these files
and talk to nobody but this gateway: a key that was pasted into it has nowhere to go.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.errors import not_found

FOLDER: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A new version is seen at once; what has not changed is not sent again.
    "Cache-Control": "no-cache",
}


class _File(NamedTuple):
    content: bytes
    headers: dict[str, str]


def console_routes() -> list[Route]:
    """GET / and the files of the page, which are read once."""
    files = {path.name: _read(path) for path in sorted(FOLDER.iterdir())}

    async def index(request: Request) -> Response:
        return _respond(request, files[INDEX])

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise not_found("There is no such path.")
        return _respond(request, found)

    return [Route("/", index), Route("/console/{name}", file)]


def _read(path: Path) -> _File:
    content = path.read_bytes()
    etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    return _File(content, {**_HEADERS, "ETag": etag, "Content-Type": _TYPES[path.suffix]})


def _respond(request: Request, file: _File) -> Response:
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.headers["ETag"] in known:
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)
