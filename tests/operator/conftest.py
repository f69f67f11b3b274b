"""What tests of the operator share: a real API server, which runs no pods."""

from tests.cluster.fixtures import api_server  # noqa: F401
