"""A snapshot is only for the shard that it is of, and for as many shards as there were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import JournalError
from services.matcher.engine import MatcherEngine
from services.shell.restoring import restore_same_shard
from services.ubscore.core import UbsCore
from services.verify.journals import restore_core
from tests.support.aio import run_async
from tests.support.ubscore_process import undisturbed

OTHERS: list[tuple[Any, Any, str]] = [
    (UbsCore(0, 1), UbsCore(0, 2), "of account shard 0 of 1, but this process is account shard 0 of 2"),
    (UbsCore(0, 2), UbsCore(1, 2), "of account shard 0 of 2, but this process is account shard 1 of 2"),
    (MatcherEngine(0, 1), MatcherEngine(0, 2), "account shards: 1, but this process .* account shards: 2"),
    (MatcherEngine(1, 1), MatcherEngine(0, 1), "of matcher shard 1 .* but this process is matcher shard 0"),
]


@pytest.mark.parametrize(("then", "now", "sentence"), OTHERS)
def test_restore_same_shard_of_another_layout_names_both(then: Any, now: Any, sentence: str) -> None:
    with pytest.raises(JournalError, match=sentence):
        restore_same_shard(now, type(now).restore, then.snapshot())


@pytest.mark.parametrize("make", [lambda: UbsCore(1, 2), lambda: MatcherEngine(1, 2)])
def test_restore_same_shard_of_its_own_gives_it_back(make: Callable[[], Any]) -> None:
    core = make()
    assert restore_same_shard(make(), type(core).restore, core.snapshot()).digest() == core.digest()


@run_async
async def test_verify_snapshot_of_another_layout_is_refused(tmp_path: Path) -> None:
    await undisturbed(tmp_path, 3)
    with pytest.raises(JournalError, match="of account shard 0 of 1, but this process is account shard 0 of 2"):
        restore_core(tmp_path, lambda: UbsCore(0, 2), UbsCore.restore)
