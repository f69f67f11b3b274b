"""What a process of the distributed form does about the libraries it stands on."""

import logging
from collections.abc import Iterator

import pytest

from services.cli.process_life import _INSISTENT, _quieten_libraries

LOUD_WHILE_A_BROKER_IS_AWAY = ("aiokafka", "aiokafka.consumer.fetcher", "aiokafka.producer.sender")


@pytest.fixture
def quietened() -> Iterator[None]:
    before = {name: list(logging.getLogger(name).filters) for name in _INSISTENT}
    _quieten_libraries()
    yield
    for name, filters in before.items():
        logging.getLogger(name).filters[:] = filters


@pytest.mark.parametrize("name", LOUD_WHILE_A_BROKER_IS_AWAY)
def test_library_says_the_same_again_and_again_is_written_once(
    name: str, quietened: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):
        logging.getLogger(name).error("Failed fetch messages from %s", 1)
    logging.getLogger(name).error("Failed fetch messages from %s", 2)
    assert [record.getMessage()[-1] for record in caplog.records] == ["1", "2"]
