"""A connection to the database for coroutines: what is asked, how much at one time, and how long one waits.

The driver has a thread of its own, which calls back when an answer is there. Calling the event loop from there is slow,
so answers are gathered, and the loop is called once for all that came while it was busy.
"""

import asyncio
import functools
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from cassandra.cluster import NoHostAvailable
from cassandra.query import BatchStatement, BatchType

from services.adapters.cql.batches import Batch
from services.adapters.cql.driver import make_cluster, store_error
from services.adapters.cql.encoding import delete_text, insert_text
from services.adapters.cql.settings import CqlSettings
from services.adapters.store_calls import CallWatch
from services.domain.errors import StoreError

Rows = list[tuple[Any, ...]]

PAGE: Final = 2_000
"""Rows that one answer brings, of a query without a limit."""
_QUERY: Final = re.compile(r"(\w+) .*?FROM ([\w.]+)", re.ASCII | re.DOTALL)


class _Answers:
    """From the driver's thread to the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._called = False

    def put(self, future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
        """Called by the driver's thread."""
        self._ready.append((future, answer, error))
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._hand_out)
            except RuntimeError:
                # The loop is closed: nobody waits.
                self._ready.clear()

    def _hand_out(self) -> None:
        # First, so that an answer that comes after the last look calls again.
        self._called = False
        while self._ready:
            future, answer, error = self._ready.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)


class CqlSession:
    """Connected on `open`. Every method raises StoreUnavailable when asking again may help, and StoreError when not.

    on_request: told of each request that `query`, `pages` and `write` make, by `summary`, with the driver's error.
    """

    def __init__(self, settings: CqlSettings, cluster: Any, session: Any) -> None:
        self.settings = settings
        self.on_request: CallWatch | None = None
        self._cluster = cluster
        self._session = session
        self._answers = _Answers(asyncio.get_running_loop())
        self._slots = asyncio.Semaphore(settings.max_writes)
        self._nobody_since: float | None = None
        self._prepared: dict[str, Any] = {}
        self._row_statements: dict[tuple[str, bool], bytes] = {}

    @classmethod
    async def open(cls, settings: CqlSettings) -> "CqlSession":
        """Connect, without a keyspace."""
        cluster: Any = None
        try:
            # It looks the hosts' addresses up at once, and who tells them may be slow.
            cluster = await asyncio.to_thread(make_cluster, settings)
            session = await asyncio.to_thread(cluster.connect)
            # What `prepare` waits; the driver has no setting for it.
            session._default_timeout = settings.request_timeout_s
            return cls(settings, cluster, session)
        except Exception as error:
            if cluster is not None:
                await asyncio.to_thread(cluster.shutdown)
            raise store_error(error, f"cannot connect to {', '.join(settings.contact_points)}") from error

    @property
    def nobody_for_s(self) -> float:
        """For how long no host that it knows has been there to be asked; 0 while there is one."""
        since = self._nobody_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def close(self) -> None:
        """Let go of every connection. What is under way may take effect or not."""
        await asyncio.to_thread(self._cluster.shutdown)

    async def use_keyspace(self) -> None:
        """Address the settings' keyspace from here on."""
        keyspace = self.settings.keyspace
        await self._in_thread(functools.partial(self._session.set_keyspace, keyspace), f"keyspace {keyspace}")

    async def run(self, text: str, values: Sequence[Any] = (), timeout_s: float | None = None) -> Rows:
        """Execute a statement that may not be repeated: schema, or on condition. Values as %s in the text."""
        timeout = self.settings.request_timeout_s if timeout_s is None else timeout_s
        call = functools.partial(self._session.execute, text, values or None, timeout=timeout)
        return list(await self._in_thread(call, text))

    async def query(self, text: str, *values: Any, limit: int | None = None) -> Rows:
        """All rows of a query, which is prepared at its first use; with `limit` they come in one answer."""
        rows: Rows = []
        async for page in self.pages(text, *values, size=PAGE if limit is None else limit):
            rows = rows + page if rows else page
        return rows

    async def pages(self, text: str, *values: Any, size: int = PAGE) -> AsyncIterator[Rows]:
        """The rows of a query, `size` at a time, in the order of the database."""
        statement = (await self._prepare(text)).bind(values)
        statement.fetch_size = size
        statement.is_idempotent = True
        state: bytes | None = None
        while True:
            rows, state = await self._ask(summary(text), statement, state)
            yield rows
            if state is None:
                return

    async def write(self, batches: Iterable[Batch]) -> None:
        """Return once every batch is durable. At most `max_writes` are under way at one time, of all calls together.

        When one fails, the others are waited for, and some may have taken effect.
        """
        failed: list[StoreError] = []
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                if not await self._prepare_rows(batch, failed):
                    break
                await self._slots.acquire()
                writing = group.create_task(self._write(batch, failed))
                writing.add_done_callback(lambda _: self._slots.release())
        if failed:
            raise failed[0]

    async def _prepare_rows(self, batch: Batch, failed: list[StoreError]) -> bool:
        """Whether all statements are known, those that were not yet too. Why not is added to `failed`."""
        wanted = {(statement.table, statement.deletes) for statement in batch.statements}
        try:
            for table, deletes in wanted - self._row_statements.keys():
                prepared = await self._prepare(delete_text(table) if deletes else insert_text(table))
                self._row_statements[table, deletes] = prepared.query_id
        except StoreError as error:
            failed.append(error)
        return not failed

    async def _write(self, batch: Batch, failed: list[StoreError]) -> None:
        try:
            await self._ask(f"BATCH {batch.statements[0].table}", self._batch_statement(batch), None)
        except StoreError as error:
            failed.append(error)

    def _batch_statement(self, batch: Batch) -> Any:
        statement = BatchStatement(BatchType.LOGGED if batch.atomic else BatchType.UNLOGGED)
        statement.is_idempotent = True
        statement.routing_key = batch.routing_key
        ids = self._row_statements
        # As its `add` does, for values that are bytes already.
        statement._statements_and_parameters = [
            (True, ids[one.table, one.deletes], one.values) for one in batch.statements
        ]
        return statement

    async def _ask(self, name: str, statement: Any, paging_state: bytes | None) -> tuple[Rows, bytes | None]:
        """One request: its rows, and where the next page begins when there is one."""
        on_request = self.on_request
        if on_request is None:
            return await self._execute(statement, paging_state)
        started = time.perf_counter()
        try:
            found = await self._execute(statement, paging_state)
        except StoreError as error:
            on_request(name, time.perf_counter() - started, type(error.__cause__ or error).__name__)
            raise
        on_request(name, time.perf_counter() - started)
        return found

    async def _execute(self, statement: Any, paging_state: bytes | None) -> tuple[Rows, bytes | None]:
        future = asyncio.get_running_loop().create_future()
        put = self._answers.put
        try:
            request = self._session.execute_async(statement, paging_state=paging_state)
        except Exception as error:
            raise self._failed(error, "a request") from error
        request.add_callbacks(
            lambda rows: put(future, (rows or [], request._paging_state), None),
            lambda error: put(future, None, error),
        )
        try:
            found: tuple[Rows, bytes | None] = await future
        except Exception as error:
            raise self._failed(error, "a request") from error
        self._nobody_since = None
        return found

    async def _prepare(self, text: str) -> Any:
        statement = self._prepared.get(text)
        if statement is None:
            statement = await self._in_thread(functools.partial(self._session.prepare, text), text)
            self._prepared[text] = statement
        return statement

    async def _in_thread(self, call: Any, doing: str) -> Any:
        try:
            found = await asyncio.to_thread(call)
        except Exception as error:
            raise self._failed(error, doing) from error
        self._nobody_since = None
        return found

    def _failed(self, error: Exception, doing: str) -> StoreError:
        if isinstance(error, NoHostAvailable) and self._nobody_since is None:
            self._nobody_since = asyncio.get_running_loop().time()
        return store_error(error, doing)


@functools.lru_cache(maxsize=256)
def summary(text: str) -> str:
    """What a query does, and to which table: SELECT order_history."""
    found = _QUERY.match(text)
    return " ".join(found.groups()) if found is not None else text.partition(" ")[0]
