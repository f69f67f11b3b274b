"""Where log lines go: stdout, or a file a service and UTC day."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from services.adapters.logs.lines import Entry, utc_second


class Sink:
    """Where lines go. `add` collects, `flush` writes and returns how many lines could not be written."""

    def __init__(self) -> None:
        self._parts: dict[str, list[bytes]] = {}
        self._failing = False

    def add(self, entry: Entry, lines: bytes) -> None:
        self._parts.setdefault(self._target(entry), []).append(lines)

    def flush(self) -> int:
        parts, self._parts = self._parts, {}
        lost = 0
        for target, chunks in parts.items():
            data = b"".join(chunks)
            try:
                self._write(target, data)
            except OSError as error:
                lost += data.count(b"\n")
                self._complain(f"logs: cannot write {target}: {error}\n")
        self._failing = lost > 0
        return lost

    def _complain(self, sentence: str) -> None:
        if not self._failing:
            with suppress(OSError):
                os.write(2, sentence.encode())

    def close(self) -> None:
        """Let go of what is open."""

    def _target(self, entry: Entry) -> str:
        raise NotImplementedError

    def _write(self, target: str, data: bytes) -> None:
        raise NotImplementedError


class StdoutSink(Sink):
    def _target(self, entry: Entry) -> str:
        return "stdout"

    def _write(self, target: str, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class FolderSink(Sink):
    """LOG_DIR/<service>.log.YYYY-MM-DD, one file open for each service."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open: dict[str, tuple[str, int]] = {}
        """service -> the name of its open file, and its descriptor."""

    def close(self) -> None:
        for _, descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _target(self, entry: Entry) -> str:
        return f"{entry.service}.log.{utc_second(entry.time_ns // 1_000_000_000)[:10].decode()}"

    def _write(self, target: str, data: bytes) -> None:
        service = target.rpartition(".log.")[0]
        name, descriptor = self._open.get(service, ("", -1))
        if name != target:
            if name:
                os.close(descriptor)
                del self._open[service]
            descriptor = os.open(self._folder / target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            self._open[service] = (target, descriptor)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
