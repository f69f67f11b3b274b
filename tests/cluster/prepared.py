"""A cluster with what the tests of the exchange apply: images loaded, the operator installed by its chart."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.cluster import images
from tests.cluster.node import Cluster

CHART: Final = str(Path(__file__).parents[2] / "charts" / "exchange-operator")
SYSTEM: Final = "exchange-system"
RELEASE: Final = "exchange"
VERSIONS: Final = ("0.1.0", "0.1.1", "0.1.2")
"""Tags of the same image: to go from one to the other rolls everything, and changes nothing else."""
CRASHES: Final = "crash"
"""Tag of an image that always ends at once."""


@pytest.fixture(scope="session")
def operated(cluster: Cluster) -> Cluster:
    """`cluster`, with the operator, and the exchange's image under the first of VERSIONS."""
    cluster.load_image(images.exchange_image(VERSIONS[0]))
    options = ("-n", SYSTEM, "--create-namespace", "--wait", "--timeout", "5m")
    tested = ("--set", "test.exchange.name=exchange,test.exchange.namespace=shop")
    cluster.helm("install", RELEASE, CHART, *options, *tested)
    return cluster


@pytest.fixture(scope="session")
def prepared(operated: Cluster) -> Cluster:
    """`operated`, with the images of all VERSIONS, one that crashes, a broker's and a database's."""
    with ThreadPoolExecutor(1) as builder:
        archives = [builder.submit(images.exchange_image, version) for version in VERSIONS[1:]]
        archives += [builder.submit(images.crashing_image, CRASHES)]
        archives += [builder.submit(build) for build in (images.redpanda_standin, images.scylla_standin)]
        for archive in archives:
            operated.load_image(archive.result())
    return operated
