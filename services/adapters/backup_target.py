"""Where backups are kept: a folder, memory, or whatever else fsspec knows, such as S3 and what speaks like it.

Blocking: call it from a thread. Credentials and endpoints are fsspec's own matter (for S3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and so on in the environment).
"""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Self

import fsspec.core
from fsspec.spec import AbstractBufferedFile

from services.domain.errors import BackupError, ConfigError

BLOCK_BYTES: Final = 1024 * 1024

_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs"})
"""They have no folders to make, and would make the bucket instead, which is not ours to make."""

_MEANINGS: Final = {
    "NoSuchBucket": "there is no such bucket",
    "SignatureDoesNotMatch": "the secret key (AWS_SECRET_ACCESS_KEY) is wrong",
    "InvalidAccessKeyId": "the access key (AWS_ACCESS_KEY_ID) is not known there",
    "XAdminUserNotFound": "the access key (AWS_ACCESS_KEY_ID) is not known there",
    "AccessDenied": "access is denied",
    "403": "access is denied",
    "NoCredentialsError": "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
"""What S3's codes, and errors of its client, tell who has to mend it."""


class BackupTarget:
    """A folder of folders of files. url: a path, or such as s3://bucket/exchange.

    Raises ConfigError when the kind of target is not known or not installed; every method BackupError when it fails.
    """

    def __init__(self, url: str) -> None:
        self.url = re.sub(r"//[^/@]*@", "//", url)
        """For people: without a password."""
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise ConfigError(f"backup target {self.url}: {error}: pip install 'exchange-platform[s3]'") from error
        except (ValueError, OSError) as error:
            raise ConfigError(f"backup target {self.url}: {error}") from error
        protocol = self._files.protocol
        self._has_folders = _OBJECT_STORES.isdisjoint((protocol,) if isinstance(protocol, str) else protocol)
        if not self._has_folders and not self._root.strip("/"):
            raise ConfigError(f"backup target {self.url}: it names no bucket, such as s3://bucket/exchange")

    def folders(self) -> list[str]:
        """Sorted names; none when there is no such target yet. Raises BackupError when its bucket does not exist."""
        with self._failing():
            found = self._list(self._root)
            return sorted(_name(entry) for entry in found if entry["type"] == "directory")

    def sizes(self, folder: str) -> dict[str, int]:
        """The files of a folder, by name, in bytes."""
        with self._failing(folder):
            return {_name(entry): entry["size"] for entry in self._list(self._path(folder)) if entry["type"] == "file"}

    def last_written(self, folder: str) -> datetime | None:
        """When anything in a folder was written last, by the target's own clock; None when that cannot be said."""
        names = [f"{folder}/{name}" for name in self.sizes(folder)]
        with self._failing(folder):
            try:
                moments: list[datetime] = [self._files.modified(self._path(name)) for name in names or [folder]]
                return max(moments)
            except (NotImplementedError, FileNotFoundError):
                return None

    def create(self, folder: str, name: str) -> "TargetFile":
        """A new file, which is whole and durable once it is closed."""
        with self._failing(f"{folder}/{name}"):
            if self._has_folders:
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

    def remove_file(self, folder: str, name: str) -> None:
        """Remove a file, if there is one."""
        with self._failing(f"{folder}/{name}"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(folder, name))

    def remove(self, folder: str, first: str) -> None:
        """Remove a folder with all of its files, that file first."""
        self.remove_file(folder, first)
        # Where there are no folders, it went with its last file.
        with self._failing(folder), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path(folder), recursive=True)

    def _list(self, path: str) -> list[dict[str, Any]]:
        """What is in a folder; nothing when there is no such folder."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(path, detail=True)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise BackupError(f"backup target {self.url}: {_say(error)}") from error
            return []
        # Some list a folder in itself.
        return [entry for entry in found if entry["name"].strip("/") != path.strip("/")]

    def _path(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))

    @contextlib.contextmanager
    def _failing(self, what: str = "") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (BackupError, GeneratorExit):
            raise
        except Exception as error:  # Each kind of target has errors of its own.
            where = f"{self.url}: {what}" if what else self.url
            raise BackupError(f"backup target {where}: {_say(error)}") from error


class TargetFile:
    """A file that is being written. In a `with`, it is closed when all went well, else given up."""

    def __init__(self, target: BackupTarget, file: Any, name: str) -> None:
        self._target = target
        self._file = file
        self._name = name

    def write(self, data: bytes) -> None:
        with self._writing():
            self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # What went wrong first is what people want to know.
            with contextlib.suppress(Exception):
                _give_up(self._file)
            return
        with self._writing():
            _sync(self._file)
            self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Nothing that is missing is an answer here: the bucket or the folder went away."""
        with self._target._failing(self._name):
            try:
                yield
            except FileNotFoundError as error:
                raise BackupError(f"backup target {self._target.url}: {self._name}: {_say(error)}") from error


def _give_up(file: Any) -> None:
    """Object stores throw away the parts that they have; closing would put them together."""
    if isinstance(file, AbstractBufferedFile):
        file.closed = True
        file.discard()
    else:
        file.close()


def _sync(file: Any) -> None:
    """Only files of this machine have numbers, and only they need it."""
    try:
        number = file.fileno()
    except (AttributeError, OSError):
        return
    file.flush()
    os.fsync(number)


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"].rstrip("/").rpartition("/")[2])


def _answer(error: BaseException) -> dict[str, Any]:
    """What S3 answered, when the error, or what it came from, is an answer."""
    at: BaseException | None = error
    while at is not None:
        if response := getattr(at, "response", None):
            return dict(response.get("Error", {}))
        at = at.__cause__
    return {}


def _code(error: BaseException) -> str:
    return str(_answer(error).get("Code") or type(error).__name__)


def _say(error: BaseException) -> str:
    """One sentence; never a secret: S3 answers with none, and its client's errors hold none."""
    code, message = _code(error), _answer(error).get("Message") or str(error)
    said = f"{code}: {message}" if _answer(error) else repr(error)
    return f"{_MEANINGS[code]} ({said})" if code in _MEANINGS else said
