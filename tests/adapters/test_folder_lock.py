from pathlib import Path

import pytest

from services.adapters.files import FolderLock, is_locked
from services.domain.errors import ConfigError


def test_folder_lock_held_refuses_a_second_holder_and_is_seen(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(ConfigError, match="is in use by another process"):
        FolderLock(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)
    FolderLock(tmp_path).release()


def test_is_locked_of_a_folder_that_was_never_held_is_false_and_makes_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_is_locked_asked_while_it_is_free_does_not_hold_it(tmp_path: Path) -> None:
    FolderLock(tmp_path).release()
    assert not is_locked(tmp_path)
    FolderLock(tmp_path).release()
