"""The HTTP server, by raw sockets: what one client does, or leaves undone, costs the others nothing."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.server import Bounds, Server

HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
WHOLE = HEAD + b"\r\nhello"
LARGE = 64 * 2**20


class Venue:
    """A server in a thread of its own, of an application that echoes, answers late, or answers much."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._started = threading.Event()
        self.asked = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.thread.start()
        assert self._started.wait(20)

    async def _serve(self) -> None:
        self._loop, self._answering = asyncio.get_running_loop(), asyncio.Event()
        routes = [
            Route("/echo", self._echo, methods=["POST"]),
            Route("/late", self._late, methods=["POST"]),
            Route("/large", self._large),
        ]
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = Server(Starlette(routes=routes), self._bounds)
        self._started.set()
        await self._server.serve(sockets=[listener])

    async def _echo(self, request: Request) -> Response:
        return Response(await request.body())

    async def _late(self, request: Request) -> Response:
        self.asked.set()
        await self._answering.wait()
        return await self._echo(request)

    async def _large(self, request: Request) -> Response:
        self.asked.set()
        return Response(bytes(LARGE))

    @property
    def is_connected(self) -> bool:
        return len(self._server.server_state.connections) > 0

    def answer_late_ones(self) -> None:
        self._loop.call_soon_threadsafe(self._answering.set)

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(data)
        return connection

    def ask(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes until the server closes the connection."""
        with self.connect(data) as connection:
            return rest(connection)


@contextmanager
def serving(**bounds: float) -> Iterator[Venue]:
    venue = Venue(Bounds()._replace(**bounds))
    try:
        yield venue
    finally:
        venue.ask_to_stop()
        with suppress(RuntimeError):  # It has stopped already.
            venue.answer_late_ones()
        venue.thread.join(20)
        assert not venue.thread.is_alive()


def rest(connection: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    said = b""
    try:
        while chunk := connection.recv(2**20):
            said += chunk
    except ConnectionResetError:
        pass
    return said


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def first_answer(connection: socket.socket) -> int:
    return status(connection.recv(4096))


def test_connection_above_the_limit_is_503_and_the_others_are_served() -> None:
    with serving(connections=2) as venue, venue.connect() as one, venue.connect(WHOLE) as two:
        assert first_answer(two) == 200
        refused = venue.ask(b"")
        assert status(refused) == 503
        assert b"\r\nRetry-After: 1\r\n" in refused
        assert b'"code":-1008' in refused
        one.sendall(WHOLE)
        assert first_answer(one) == 200


def test_connection_that_was_closed_makes_room_for_another() -> None:
    with serving(connections=1) as venue:
        for _ in range(3):
            answer = venue.ask(WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert status(answer) == 200


def without_an_end(venue: Venue) -> bytes:
    with venue.connect(HEAD) as connection:
        try:
            for _ in range(10_000):
                connection.sendall(b"X-More: " + b"y" * 1_000)
        except OSError:
            pass
        return rest(connection)


def in_one_piece(venue: Venue) -> bytes:
    return venue.ask(HEAD + b"X-More: " + b"y" * 20_000 + b"\r\n\r\nhello")


def in_the_url(venue: Venue) -> bytes:
    return venue.ask(b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize("send", [in_one_piece, in_the_url])
def test_head_that_is_too_large_is_431(send: Callable[[Venue], bytes]) -> None:
    with serving(head_bytes=10_000) as venue:
        refused = send(venue)
        assert status(refused) == 431
        assert b"at most 10000 bytes" in refused


def test_head_without_an_end_is_cut_off() -> None:
    # Its sender may still be sending when the connection is closed, and then does not get to read why.
    with serving(head_bytes=10_000) as venue:
        assert without_an_end(venue)[:12] in (b"HTTP/1.1 431", b"")
        assert venue.connect(WHOLE).recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("begun", [b"", HEAD, HEAD + b"\r\nhel"], ids=["nothing", "half a head", "half a body"])
def test_request_that_does_not_come_to_its_end_is_408(begun: bytes) -> None:
    with serving(request_s=0.05) as venue:
        assert status(venue.ask(begun)) == 408


def test_answer_that_nobody_reads_is_cut_off() -> None:
    with serving(answer_s=0.05) as venue, venue.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert venue.asked.wait(20)
        while venue.is_connected:
            time.sleep(0.01)
        assert len(rest(connection)) < LARGE


def test_garbage_behind_a_request_leaves_the_request_its_answer() -> None:
    with serving() as venue, venue.connect(WHOLE.replace(b"/echo", b"/late")) as connection:
        assert venue.asked.wait(20)
        connection.sendall(b"\x00\x01garbage\r\n\r\n")
        venue.answer_late_ones()
        answer = rest(connection)
        assert (status(answer), answer[-5:], answer.count(b"HTTP/1.1")) == (200, b"hello", 1)


def test_garbage_is_400_with_a_code() -> None:
    with serving() as venue:
        answer = venue.ask(b"\x16\x03\x01\x02\x00")
        assert status(answer) == 400
        assert answer.endswith(b'{"code":-1103,"msg":"The request is not valid HTTP."}')


def test_stop_answers_whole_requests_and_does_not_wait_for_half_ones() -> None:
    with (
        serving() as venue,
        venue.connect(HEAD + b"\r\nhel") as half,
        venue.connect(HEAD) as head,
        venue.connect() as idle,
        venue.connect(WHOLE.replace(b"/echo", b"/late")) as whole,
    ):
        assert venue.asked.wait(20)
        venue.ask_to_stop()
        for unfinished in (half, head):
            refused = rest(unfinished)
            assert status(refused) == 503
            assert b"nothing was done" in refused
        assert rest(idle) == b""
        venue.answer_late_ones()
        assert rest(whole).endswith(b"hello")
        venue.thread.join(5)
        assert not venue.thread.is_alive()
