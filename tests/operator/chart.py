"""The chart as helm sees it, for tests."""

import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster import tools
from tests.support.processes import ROOT

CHART: Final = ROOT / "charts" / "exchange-operator"
EXAMPLES: Final = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
RELEASE: Final = "exchange"
NAMESPACE: Final = "exchange-system"
_WITHIN_SECONDS: Final = 120.0

Manifest = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """helm, which asks no cluster."""
    command = [tools.helm(), *arguments, "--kube-version", tools.KUBERNETES]
    return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_SECONDS, check=False)


def render_text(*options: str | Path, chart: Path = CHART) -> str:
    """What `helm template` prints. Raises AssertionError when the chart refuses the values."""
    done = helm("template", RELEASE, chart, "--namespace", NAMESPACE, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(*options: str | Path, chart: Path = CHART) -> list[Manifest]:
    """The objects that helm makes with these values."""
    return [found for found in yaml.safe_load_all(render_text(*options, chart=chart)) if found]


def refusal(*options: str | Path) -> str:
    """What helm says when the chart refuses these values. Raises AssertionError when it takes them."""
    done = helm("template", RELEASE, CHART, *options)
    assert done.returncode != 0, f"the chart takes {options}"
    return done.stderr


def named(manifests: list[Manifest], kind: str, namespace: str | None = None) -> Manifest:
    """The only object of that kind, in that namespace when one is given."""
    (found,) = (
        one
        for one in manifests
        if one["kind"] == kind and (namespace is None or one["metadata"].get("namespace") == namespace)
    )
    return found


def kinds(manifests: list[Manifest]) -> set[str]:
    """Of all objects."""
    return {one["kind"] for one in manifests}
