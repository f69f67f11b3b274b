"""JSON logs, off the hot path: one object a line, formatted and written by a thread of its own.

    {"timestamp":"2024-05-01T12:00:00.123Z","level":"info","service":"ubscore","shard":0,"event":"deposit", …}

A service only puts references into a bounded queue. When the queue is full, debug lines and the lines of hot events
are dropped and counted (a `log_lines_dropped` line says how many), others much later, errors never; nobody waits.
Lines go to stdout, or to LOG_DIR/<service>.log.YYYY-MM-DD, by the UTC day of the line.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

from services.adapters.logs.levels import LogLevels
from services.adapters.logs.libraries import capturing
from services.adapters.logs.lines import Entry, encode_head, encode_lines
from services.adapters.logs.sinks import FolderSink, Sink, StdoutSink
from services.adapters.tracing.headers import trace_id_of
from services.adapters.tracing.port import CURRENT_CAUSES, CURRENT_REQUEST

T = TypeVar("T")

_LIMITS: Final = {"debug": 1.0, "info": 2.0, "warning": 4.0, "error": float("inf")}
"""Of how many full queues a line of this level is dropped."""
DEFAULT_QUEUE_LINES: Final = 100_000
COLLECT_SECONDS: Final = 0.02
"""The thread lets lines collect, so that a busy loop is not interrupted for each."""


class Logs:
    """The queue and the thread behind it. Close it to have everything written.

    folder: None for stdout. level: lines below it are not even queued; `levels` changes it. queue_lines: see the
    module.
    """

    def __init__(self, folder: Path | None = None, level: str = "info", queue_lines: int = DEFAULT_QUEUE_LINES) -> None:
        self.levels = LogLevels(level)
        self._queue_lines = queue_lines
        self._queue: list[Entry] = []
        self._queued = 0
        self._dropped = 0
        self._closed = False
        self._hurry = False
        self._busy = False
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._sink: Sink = StdoutSink() if folder is None else FolderSink(folder)
        self._own = ServiceLog(self, "logs", None)
        self.levels.listeners.append(self._say_levels)
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def service(self, name: str, shard: int | None = None) -> "ServiceLog":
        """The log of one service, whose lines all carry its name and shard."""
        self.levels.add_service(name)
        return ServiceLog(self, name, shard)

    def put(self, entry: Entry, lines: int, limit: float) -> None:
        """Queue an entry of `lines` lines, or count it as dropped when more than `limit` queues are full."""
        with self._lock:
            if self._closed or self._queued + lines > limit * self._queue_lines:
                self._dropped += lines
                return
            self._queue.append(entry)
            self._queued += lines
            hurry = entry.level == "error" or 2 * self._queued > self._queue_lines
            if len(self._queue) == 1 or (hurry and not self._hurry):
                self._hurry = self._hurry or hurry
                self._work.notify()

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until what was queued before is written; False when that took too long. Not for the event loop."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            self._hurry = True
            self._work.notify()
            while self._queue or self._busy:
                if not self._done.wait(deadline - time.monotonic()):
                    return False
        return True

    def close(self) -> None:
        """Write what is queued and stop the thread. Later lines are dropped."""
        self.levels.close()
        with self._lock:
            self._closed = True
            self._work.notify()
        self._thread.join(timeout=30.0)

    def capturing_stdlib(self, service: "ServiceLog") -> AbstractContextManager[None]:
        """While it lasts, what libraries say through `logging` (uvicorn, asyncio) is written by `service` too."""
        return capturing(service.say, self.levels)

    def _say_levels(self) -> None:
        levels = [f"{level.logger or 'everything'} {level.level}" for level in self.levels.listed()]
        self._own.say("info", "log_levels_changed", levels=levels)

    def _run(self) -> None:
        while True:
            entries, dropped, closed = self._take()
            if dropped:
                entries.append(self._own.entry("warning", "log_lines_dropped", {"count": dropped}))
            self._write(entries)
            with self._lock:
                # Counted down only now: what is being written still takes memory.
                self._queued -= sum(len(entry.items) or 1 for entry in entries) - bool(dropped)
                self._busy = False
                self._done.notify_all()
                if closed and not self._queue:
                    break
        self._sink.close()

    def _take(self) -> tuple[list[Entry], int, bool]:
        """Wait for entries; returns them, how many lines were dropped before them, and whether this is the end."""
        with self._lock:
            while not self._queue and not self._closed:
                self._work.wait()
            self._work.wait_for(lambda: self._hurry or self._closed, COLLECT_SECONDS)
            entries, self._queue = self._queue, []
            dropped, self._dropped = self._dropped, 0
            self._busy, self._hurry = True, False
            return entries, dropped, self._closed

    def _write(self, entries: list[Entry]) -> None:
        for entry in entries:
            try:
                self._sink.add(entry, b"".join(encode_lines(entry)))
            except Exception as error:
                # A line that cannot be formatted must not cost the others.
                reason = {"failed_event": entry.event, "error": repr(error)}
                failed = self._own.entry("error", "log_format_failed", reason)
                self._sink.add(failed, b"".join(encode_lines(failed)))
        lost = self._sink.flush()
        if lost:
            with self._lock:
                self._dropped += lost


class ServiceLog:
    """What one service says. `event` is a snake_case name that tools search for; the rest are fields."""

    def __init__(self, logs: Logs, service: str, shard: int | None) -> None:
        self._logs = logs
        self._service = service
        self._head = encode_head(service, shard)

    def debug(self, event: str, **fields: Any) -> None:
        """Dropped first when the queue is full."""
        if self.enabled("debug"):
            self.say("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something that happens seldom: a start, a snapshot, a login refused."""
        if self.enabled("info"):
            self.say("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Somebody should look at this one day."""
        if self.enabled("warning"):
            self.say("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody should look at this now. Never dropped."""
        self.say("error", event, **fields)

    def say(self, level: str, event: str, /, **fields: Any) -> None:
        """Whatever level is asked for: for who has decided already."""
        self._logs.put(self.entry(level, event, fields), 1, _LIMITS[level])

    def enabled(self, level: str) -> bool:
        """Whether lines of this level are written."""
        return self._logs.levels.enabled(level, self._service)

    def records(
        self, event: str, items: Sequence[T], to_fields: Callable[[T], Mapping[str, Any]], level: str = "info"
    ) -> None:
        """A line for each item of a hot event, for the price of one call.

        to_fields: item -> flat fields; called later, in another thread, so neither it nor the items may change. An
        `event` among them names the line. Dropped first when the queue is full.
        """
        if items and self.enabled(level):
            if (causes := CURRENT_CAUSES.get()) is not None:
                to_fields = _with_trace_id(to_fields, causes)
            self._logs.put(self.entry(level, event, {})._replace(items=items, to_fields=to_fields), len(items), 1.0)

    def entry(self, level: str, event: str, fields: Mapping[str, Any]) -> Entry:
        request = CURRENT_REQUEST.get()
        if request is not None and not request.is_over:
            fields = {**fields, "trace_id": trace_id_of(request.traceparent)}
        return Entry(time.time_ns(), level, self._service, self._head, event, fields)


def _with_trace_id(
    to_fields: Callable[[T], Mapping[str, Any]], causes: Callable[[T], str]
) -> Callable[[T], Mapping[str, Any]]:
    """The same fields, and the trace of what caused the item when there is one."""

    def fields(item: T) -> Mapping[str, Any]:
        cause = causes(item)
        return {**to_fields(item), "trace_id": trace_id_of(cause)} if cause else to_fields(item)

    return fields
