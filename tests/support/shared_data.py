"""Recorded data that is too large for the repository: it lies beside it, in ../shared/data."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def shared_file(name: str) -> Path:
    """The path of ../shared/data/`name`; the test fails with a sentence when it is not there."""
    path = SHARED / name
    if not path.is_file():
        pytest.fail(f"{path} is missing: this test needs the recorded data beside the repository")
    return path


def lobster_messages() -> Path:
    return shared_file("lobster/AAPL_2012-06-21_message_10.csv")


def lobster_book() -> Path:
    return shared_file("lobster/AAPL_2012-06-21_orderbook_10.csv")
