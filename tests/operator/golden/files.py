"""The golden files: what the operator makes of each example of k8s/, as a person reads it.

What all objects have in their metadata is left out; the fingerprint stands for it.
"""

from pathlib import Path
from typing import Final

import yaml
from exchange_operator.crd import WithoutAnchors
from exchange_operator.manifests import desired
from exchange_operator.names import Manifest

from tests.operator.manifest_examples import ALL, example

FOLDER: Final = Path(__file__).parent
_EVERYWHERE: Final = frozenset({"namespace", "labels", "ownerReferences"})


class _Dumper(WithoutAnchors):
    """Says texts of several lines as they are."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def text(name: str) -> str:
    """What the file of an example holds."""
    made = desired(example(name), ALL)
    parts = [("foundation", made.foundation), *((f"stage {stage.name}", stage.manifests) for stage in made.stages)]
    head = f"# What the operator makes of k8s/exchange-{name}.yaml. Made by `python -m tests.operator.golden`.\n"
    return head + "".join(_document(part, one) for part, found in parts for one in found)


def _document(part: str, manifest: Manifest) -> str:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _EVERYWHERE}
    dumped = yaml.dump(manifest | {"metadata": metadata}, Dumper=_Dumper, sort_keys=False, width=120)
    return f"---\n# {part}\n{dumped}"
