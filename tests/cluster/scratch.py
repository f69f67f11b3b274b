"""Images of one static program and nothing else, made without any tool for images."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path


def scratch_image(archive: Path, name: str, program: Path) -> Path:
    """Write the archive that `ctr images import` and `docker load` read, and return its path.

    name: with its tag, such as registry.k8s.io/pause:3.6. The image's entry point is the program, as /<its name>.
    """
    layer = _tar({program.name: program.read_bytes()})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
        "layer.tar": layer,
    }
    archive.write_bytes(_tar(files))
    return archive


def _tar(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            about.mode = 0o755
            tar.addfile(about, io.BytesIO(content))
    return held.getvalue()
