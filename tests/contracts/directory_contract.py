"""What every directory must do. An adapter's test class inherits DirectoryContract and says how to open its directory.

A crash is not simulated here: what a power cut leaves is the journal's tests' matter.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.adapters.ports import Directory


class DirectoryContract(ABC):
    """Inherit it, and give a fixture `place`: where one test's directory lives, empty at first."""

    @abstractmethod
    async def open_directory(self, place: Any) -> Directory:
        """The directory at `place`, with what was written there before."""

    @abstractmethod
    async def close_directory(self, directory: Directory) -> None:
        """Let go of it."""

    def run(self, place: Any, test: Callable[[Directory], Awaitable[None]]) -> None:
        async def main() -> None:
            directory = await self.open_directory(place)
            try:
                await test(directory)
            finally:
                await self.close_directory(directory)

        asyncio.run(main())

    def test_names_new_directory_is_empty(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            assert await directory.names() == []

        self.run(place, test)

    def test_names_are_sorted(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            for name in ("b", "a", "c.snap"):
                await directory.replace(name, b"")
            await directory.append("aa", b"")
            assert await directory.names() == ["a", "aa", "b", "c.snap"]

        self.run(place, test)

    def test_append_adds_at_the_end_and_is_read_before_and_after_sync(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            await directory.append("f", b"one ")
            assert await directory.read("f") == b"one "
            await directory.append("f", b"two ")
            await directory.append("f", b"")
            await directory.sync("f")
            await directory.append("f", b"three")
            assert await directory.read("f") == b"one two three"

        self.run(place, test)

    def test_append_large_data_comes_back_equal(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            parts = [bytes([n]) * 300_001 for n in range(10)]
            for part in parts:
                await directory.append("f", part)
            assert await directory.read("f") == b"".join(parts)

        self.run(place, test)

    def test_append_after_reopen_continues(self, place: Any) -> None:
        async def write(directory: Directory) -> None:
            await directory.append("f", b"synced")
            await directory.sync("f")

        async def go_on(directory: Directory) -> None:
            assert await directory.names() == ["f"]
            await directory.append("f", b" more")
            assert await directory.read("f") == b"synced more"

        self.run(place, write)
        self.run(place, go_on)

    def test_sync_file_of_an_earlier_run_is_allowed(self, place: Any) -> None:
        async def write(directory: Directory) -> None:
            await directory.replace("f", b"x")

        async def sync(directory: Directory) -> None:
            await directory.sync("f")
            assert await directory.read("f") == b"x"

        self.run(place, write)
        self.run(place, sync)

    def test_replace_new_and_existing_file_holds_the_new_data(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            await directory.replace("f", b"a long first version")
            await directory.replace("f", b"second")
            assert await directory.read("f") == b"second"
            assert await directory.names() == ["f"]

        self.run(place, test)

    def test_replace_file_that_was_appended_to_then_append_follows_it(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            await directory.append("f", b"old")
            await directory.sync("f")
            await directory.append("f", b"unsynced")
            await directory.replace("f", b"new")
            await directory.append("f", b" and more")
            await directory.sync("f")
            assert await directory.read("f") == b"new and more"

        self.run(place, test)

    def test_truncate_cuts_and_append_follows_the_cut(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            await directory.append("f", b"0123456789")
            await directory.truncate("f", 4)
            assert await directory.read("f") == b"0123"
            await directory.append("f", b"x")
            assert await directory.read("f") == b"0123x"
            await directory.truncate("f", 0)
            assert await directory.read("f") == b""

        self.run(place, test)

    def test_remove_file_is_gone_and_can_be_made_anew(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            await directory.append("f", b"old")
            await directory.remove("f")
            assert await directory.names() == []
            await directory.append("f", b"new")
            await directory.sync("f")
            assert await directory.read("f") == b"new"

        self.run(place, test)

    def test_missing_file_raises_file_not_found(self, place: Any) -> None:
        async def test(directory: Directory) -> None:
            for call in (directory.read("f"), directory.remove("f"), directory.truncate("f", 0)):
                with pytest.raises(FileNotFoundError):
                    await call

        self.run(place, test)
