"""What tests of the operator share: real API servers, alone or with controllers, and exchanges there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from exchange_operator.metrics import Metrics

from services.adapters.logs.logs import Logs
from tests.cluster.fixtures import api_server  # noqa: F401
from tests.operator.control_plane import ControlPlane
from tests.operator.world import World
from tests.support.processes import LocalProcess


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        yield plane
    finally:
        plane.end()


@pytest.fixture(scope="package")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """The exchange whose gateway answers for the pods that only say that they run."""
    with LocalProcess(tmp_path_factory.mktemp("exchange")) as process:
        yield process


@pytest.fixture
def world(plane: ControlPlane, trading: LocalProcess, tmp_path: Path) -> Iterator[World]:
    """In which nobody has asked for an exchange yet."""
    logs = Logs(tmp_path)
    world = World(plane, trading, logs)
    yield world
    world.close()
    logs.close()


@pytest.fixture(scope="package")
def standing(plane: ControlPlane, trading: LocalProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    logs = Logs(tmp_path_factory.mktemp("logs"))
    world = World(plane, trading, logs)
    yield world
    world.close()
    logs.close()


@pytest.fixture
def running(standing: World, trading: LocalProcess) -> World:
    """An exchange that has started. Several tests have the same, so that none may delete it."""
    standing.url = trading.url
    standing.metrics = Metrics("test")
    standing.restart()
    standing.ask()
    standing.settle()
    standing.kubectl("delete", "events", "--all")
    return standing


@pytest.fixture
def doomed(world: World) -> World:
    """One that may be deleted."""
    world.ask()
    world.settle()
    return world
