"""Fixtures: a real API server and a real cluster, one for all tests of a process that ask. Import into a conftest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster import tools
from tests.cluster.api_server import ApiServer
from tests.cluster.node import Cluster
from tests.cluster.scratch import scratch_image

ECHO_IMAGE: Final = "exchange.test/echo:1"


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that runs no pods. Each test has a namespace, or names, of its own."""
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real cluster. Each test has a namespace of its own, and leaves the node as it found it."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()
        cluster.forget_images()


@pytest.fixture(scope="session")
def echo_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image ECHO_IMAGE of the program `echo`."""
    return scratch_image(tmp_path_factory.mktemp("echo") / "echo.tar", ECHO_IMAGE, tools.own("echo"))
