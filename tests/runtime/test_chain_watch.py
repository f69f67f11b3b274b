"""What is said of hash chains while results are read."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.adapters.logs.logs import Logs
from services.adapters.metrics.prometheus import Metrics
from services.domain.messages import MatchResult
from services.domain.topics import ENGINE_OUTPUTS, TopicPartition
from services.runtime.chain_watch import ChainWatch
from tests.support.venues import played

_COUNT = "exchange_chain_breaks_total"
_PARTITION = TopicPartition(ENGINE_OUTPUTS, 0)


@pytest.fixture(scope="module")
def results() -> list[MatchResult]:
    return played(3, 60).results


def watched(folder: Path, *frames: list[MatchResult]) -> tuple[float | None, list[dict[str, Any]]]:
    """How many breaks are counted, and the lines that tell of them."""
    metrics, logs = Metrics("1"), Logs(folder, "info")
    chain = ChainWatch(metrics, logs.service("order_history", 0)).follow(_PARTITION)
    for frame in frames:
        chain(frame)
    logs.close()
    text = "".join(path.read_text() for path in folder.iterdir())
    return metrics.registry.get_sample_value(_COUNT, {"source": "matcher-0"}), [
        json.loads(line) for line in text.splitlines()
    ]


@pytest.mark.parametrize("start", [0, 1, 40])
def test_whole_chain_counts_nothing_from_wherever_it_is_read(
    tmp_path: Path, results: list[MatchResult], start: int
) -> None:
    assert watched(tmp_path, results[start:50], results[50:]) == (0, [])


def test_chain_without_results_is_shown_as_whole(tmp_path: Path) -> None:
    assert watched(tmp_path) == (0, [])


def test_changed_result_is_counted_once_and_told_with_its_sequence(tmp_path: Path, results: list[MatchResult]) -> None:
    body = msgspec.Raw(bytes(results[10].body)[:-1] + b"\x01")
    changed = [*results[:10], msgspec.structs.replace(results[10], body=body), *results[11:]]
    count, lines = watched(tmp_path, changed)
    assert count == 1
    assert [(line["event"], line["level"], line["source"]) for line in lines] == [
        ("hash_chain_broken", "error", "matcher-0")
    ]
    assert lines[0]["reason"] == "sequence 11 does not have the hash that its content gives"


def test_result_that_replaces_another_with_a_hash_of_its_own_breaks_the_next_link(
    tmp_path: Path, results: list[MatchResult]
) -> None:
    other = played(4, 60).results
    count, lines = watched(tmp_path, results[:10], other[10:20], results[20:])
    assert count == 2
    assert [line["reason"].partition(" does ")[0] for line in lines] == ["sequence 11", "sequence 21"]
