"""The order of all tests."""

import pytest

_FIRST = "tests/e2e/test_chaos.py"
"""It takes as long as half of the others together, which the other process works off meanwhile."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
