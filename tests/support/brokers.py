"""Fixtures: a real broker, one for all tests of a folder that ask for it. Import both into its conftest."""

from collections.abc import Iterator

import pytest

from tests.real.broker import Broker


@pytest.fixture(scope="package")
def started_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest.fixture
def broker(started_broker: Broker) -> Broker:
    """A real broker that runs, whatever the test before did to it. Each test has topics of its own."""
    started_broker.thaw()
    if started_broker.process.poll() is not None:
        started_broker.start()
    return started_broker
