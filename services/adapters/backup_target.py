"""Where backups are kept: a folder, memory, or whatever else fsspec knows, such as S3 and what speaks like it.

Blocking: call it from a thread. Credentials and endpoints are fsspec's own matter (for S3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and so on in the environment).
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Final, Self

import fsspec.core

from services.domain.errors import BackupError, ConfigError

BLOCK_BYTES: Final = 1024 * 1024


class BackupTarget:
    """A folder of folders of files. url: a path, or such as s3://bucket/exchange.

    Raises ConfigError when the kind of target is not known or not installed; every method BackupError when it fails.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise ConfigError(f"backup target {url}: {error}: pip install 'exchange-platform[s3]'") from error
        except (ValueError, OSError) as error:
            raise ConfigError(f"backup target {url}: {error}") from error

    def folders(self) -> list[str]:
        """Sorted names; none when there is no such target yet."""
        with self._failing(""):
            self._files.invalidate_cache()
            if not self._files.exists(self._root):
                return []
            found = self._files.ls(self._root, detail=True)
            return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in found if _is_folder(entry))

    def create(self, folder: str, name: str) -> "TargetFile":
        """A new file, which is whole and durable once it is closed."""
        with self._failing(f"{folder}/{name}"):
            self._files.makedirs(self._path(folder), exist_ok=True)
            return TargetFile(self, self._files.open(self._path(folder, name), "wb"), f"{folder}/{name}")

    def blocks(self, folder: str, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces. Raises FileNotFoundError."""
        with self._failing(f"{folder}/{name}"), self._files.open(self._path(folder, name), "rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block

    def read(self, folder: str, name: str) -> bytes:
        """A small file. Raises FileNotFoundError."""
        return b"".join(self.blocks(folder, name))

    def remove(self, folder: str, first: str) -> None:
        """Remove a folder with all of its files, that file first."""
        with self._failing(folder):
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(folder, first))
            self._files.rm(self._path(folder), recursive=True)

    def _path(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (BackupError, GeneratorExit):
            raise
        except Exception as error:  # Each kind of target has errors of its own.
            raise BackupError(f"backup target {self.url}: {what}: {error!r}") from error


class TargetFile:
    """A file that is being written. In a `with`, it is closed when all went well, else given up."""

    def __init__(self, target: BackupTarget, file: Any, name: str) -> None:
        self._target = target
        self._file = file
        self._name = name

    def write(self, data: bytes) -> None:
        with self._target._failing(self._name):
            self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._target._failing(self._name):
            if kind is None:
                _sync(self._file)
            self._file.close()


def _sync(file: Any) -> None:
    """Only files of this machine have numbers, and only they need it."""
    try:
        number = file.fileno()
    except (AttributeError, OSError):
        return
    file.flush()
    os.fsync(number)


def _is_folder(entry: dict[str, Any]) -> bool:
    return bool(entry["type"] == "directory")
