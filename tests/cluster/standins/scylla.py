#!/usr/bin/python3
"""Stands in for the `scylla` of ScyllaDB's image: takes its options, and starts one Cassandra node in its place.

Options that nobody knows are refused, and a value for one that takes none, as the real one does. More nodes than one
are refused as well, which the real one would not do.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Final, NoReturn

_SWITCHES: Final = frozenset(("overprovisioned", "help", "version"))
_OPTIONS: Final = frozenset(
    (
        "alternator-address",
        "api-address",
        "api-port",
        "authenticator",
        "authorizer",
        "auto-bootstrap",
        "auto-snapshot",
        "blocked-reactor-notify-ms",
        "broadcast-address",
        "broadcast-rpc-address",
        "cluster-name",
        "commitlog-sync",
        "commitlog-sync-batch-window-in-ms",
        "commitlog-sync-period-in-ms",
        "cpuset",
        "default-log-level",
        "developer-mode",
        "endpoint-snitch",
        "io-properties-file",
        "listen-address",
        "lock-memory",
        "log-to-stdout",
        "log-to-syslog",
        "logger-log-level",
        "max-io-requests",
        "memory",
        "native-transport-port",
        "network-stack",
        "num-tokens",
        "options-file",
        "prometheus-address",
        "prometheus-port",
        "reserve-memory",
        "rpc-address",
        "seed-provider-parameters",
        "smp",
        "skip-wait-for-gossip-to-settle",
        "ring-delay-ms",
        "thread-affinity",
        "unsafe-bypass-fsync",
        "workdir",
    )
)
_AS_THEY_ARE: Final = ("authenticator", "authorizer", "broadcast-rpc-address")
"""Those that Cassandra has too."""
_LOOPBACK: Final = "127.0.0.1"
_STORAGE_PORT: Final = 7000


def refuse(why: str) -> NoReturn:
    sys.exit(f"scylla (stand-in): {why}")


def parse(arguments: list[str]) -> dict[str, str]:
    """The options by name."""
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            refuse(f"too many positional options have been specified on the command line: {argument}")
        elif name in _SWITCHES:
            if has_value:
                refuse(f"option '--{name}' does not take any arguments")
            options[name] = "true"
        elif name in _OPTIONS:
            options[name] = value if has_value else next(rest, "")
        else:
            hint = "; it is the image's entry point that knows it" if name in ("seeds", "io-setup") else ""
            refuse(f"unrecognised option '{argument}'{hint}")
    return options


def require_single(options: dict[str, str]) -> None:
    """Refuse seeds that are other nodes."""
    own = {"localhost", _LOOPBACK, socket.gethostname()}
    own |= {options[name] for name in ("listen-address", "broadcast-address") if name in options}
    seeds = options.get("seed-provider-parameters", f"seeds={_LOOPBACK}").removeprefix("seeds=")
    for seed in seeds.split(","):
        if seed not in own and seed.split(".")[0] not in own:
            refuse(f"the seed {seed} is another node, and this stand-in is one node only: set replicas to 1")


def configuration(base: dict[str, object], options: dict[str, str], data: Path) -> dict[str, object]:
    """Cassandra's. It talks to itself on loopback: a pod's address is another one after each start."""
    listen = options.get("rpc-address", "localhost")
    return (
        base
        | {
            "cluster_name": options.get("cluster-name", "stand-in"),
            "listen_address": _LOOPBACK,
            "storage_port": _STORAGE_PORT,
            "rpc_address": listen,
            "native_transport_port": int(options.get("native-transport-port", "9042")),
            "seed_provider": [
                {
                    "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                    "parameters": [{"seeds": f"{_LOOPBACK}:{_STORAGE_PORT}"}],
                }
            ],
            "data_file_directories": [str(data / "data")],
            "commitlog_directory": str(data / "commitlog"),
            "saved_caches_directory": str(data / "saved_caches"),
            "hints_directory": str(data / "hints"),
            "cdc_raw_directory": str(data / "cdc_raw"),
        }
        | {option.replace("-", "_"): options[option] for option in _AS_THEY_ARE if option in options}
    )


def heap(memory: str) -> list[str]:
    """Half of all that it may take, such as 1G."""
    megabytes = int(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1].upper()] // 2
    return [f"-Xms{megabytes}m", f"-Xmx{megabytes}m", f"-Xmn{megabytes * 2 // 5}m", "-XX:MaxDirectMemorySize=128m"]


def main() -> None:
    options = parse(sys.argv[1:])
    if "options-file" not in options and "SCYLLA_CONF" not in os.environ:
        refuse("Could not read configuration file conf/scylla.yaml: give --options-file=/etc/scylla/scylla.yaml")
    require_single(options)
    data = Path(options.get("workdir", "/var/lib/scylla")) / "cassandra"
    settings = json.loads(Path("/opt/cassandra.json").read_text())
    try:
        (data / "tmp").mkdir(parents=True, exist_ok=True)
        (data / "cassandra.yaml").write_text(json.dumps(configuration(settings["configuration"], options, data)))
    except OSError as error:
        refuse(f"cannot write its data: {error}; mount a volume that user {os.getuid()} can write to")
    own = (
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={data / 'tmp'}",
        f"-Djna.tmpdir={data / 'tmp'}",
        f"-Duser.home={data}",
        f"-Dcassandra.config=file://{data / 'cassandra.yaml'}",
        f"-Dcassandra.storagedir={data}",
        f"-Dcassandra.logdir={data}",
    )
    main_class = ("-cp", "/opt/server/*", "org.apache.cassandra.service.CassandraDaemon")
    os.execvp("java", ["java", *settings["options"], *heap(options.get("memory", "1G")), *own, *main_class])


if __name__ == "__main__":
    main()
