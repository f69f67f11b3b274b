"""These tests take minutes, and root: they run when they are asked for (`make test-cluster`), not with the others."""

from pathlib import Path
from typing import Final

import pytest

from tests.cluster.fixtures import api_server, cluster, echo_archive  # noqa: F401
from tests.cluster.prepared import operated, prepared  # noqa: F401

_HERE: Final = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    asked = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(_HERE) for path in asked) else True
