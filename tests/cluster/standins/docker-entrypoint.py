#!/usr/bin/python3
"""Stands in for the entry point of ScyllaDB's image, which sets the machine up and then starts `scylla`.

Like the real one it needs root, and to write to /etc: with neither a manifest starts /usr/bin/scylla by itself.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("developer-mode", "overprovisioned", "io-setup"):
        parser.add_argument(f"--{name}", choices=["0", "1"])
    for name in ("smp", "memory", "seeds", "listen-address", "rpc-address", "broadcast-address"):
        parser.add_argument(f"--{name}")
    for name in ("broadcast-rpc-address", "cluster-name", "endpoint-snitch", "authenticator", "authorizer"):
        parser.add_argument(f"--{name}")
    given, further = parser.parse_known_args()
    if os.getuid() != 0:
        sys.exit("Requires root permission.")
    Path("/etc/scylla.d/docker.conf").write_text(" ".join(sys.argv))
    listen = given.listen_address or subprocess.check_output(["hostname", "-i"], text=True).split()[0]
    options = {
        "developer-mode": given.developer_mode or "1",
        "smp": given.smp,
        "memory": given.memory,
        "listen-address": listen,
        "rpc-address": given.rpc_address or listen,
        "broadcast-address": given.broadcast_address,
        "broadcast-rpc-address": given.broadcast_rpc_address,
        "seed-provider-parameters": f"seeds={given.seeds or given.broadcast_address or listen}",
        "options-file": "/etc/scylla/scylla.yaml",
    }
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    os.execv("/usr/bin/scylla", ["scylla", *arguments, *further])


if __name__ == "__main__":
    main()
