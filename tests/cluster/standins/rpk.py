#!/usr/bin/python3
"""Stands in for Redpanda's `rpk redpanda start`: takes its flags, starts one Kafka node, and answers on the admin port.

What the real one refuses is refused here too, as far as a person can get it wrong in a manifest: flags that nobody
knows, `--set` in one argument with its value, a configuration folder that cannot be written. More nodes than one are
refused as well, which the real one would not do.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

_CONFIGURATION: Final = Path("/etc/redpanda")
_DATA: Final = Path("/var/lib/redpanda/data")
_ADMIN_PORT: Final = 9644
_RPC: Final = "0.0.0.0:33145"
_KAFKA: Final = "127.0.0.1:9092"
_SWITCHES: Final = frozenset(
    ("check", "lock-memory", "mbind", "overprovisioned", "thread-affinity", "tune", "unsafe-bypass-fsync")
)
_FLAGS: Final = frozenset(
    (
        "advertise-kafka-addr",
        "advertise-pandaproxy-addr",
        "advertise-rpc-addr",
        "blocked-reactor-notify-ms",
        "config",
        "cpuset",
        "default-log-level",
        "hugepages",
        "install-dir",
        "io-properties",
        "io-properties-file",
        "kafka-addr",
        "logger-log-level",
        "max-io-requests",
        "memory",
        "mode",
        "node-id",
        "num-io-queues",
        "pandaproxy-addr",
        "reserve-memory",
        "rpc-addr",
        "schema-registry-addr",
        "seeds",
        "smp",
        "timeout",
        "well-known-io",
    )
)
_PROPERTIES: Final = {
    "auto_create_topics_enabled": "auto.create.topics.enable",
    "default_topic_partitions": "num.partitions",
    "default_topic_replications": "default.replication.factor",
    "group_initial_rebalance_delay": "group.initial.rebalance.delay.ms",
    "kafka_batch_max_bytes": "message.max.bytes",
    "log_segment_size": "log.segment.bytes",
}
"""What Redpanda's properties are called by Kafka."""
_WITHOUT_EFFECT: Final = frozenset(
    (
        "developer_mode",
        "empty_seed_starts_cluster",
        "fetch_reads_debounce_timeout",
        "internal_topic_replication_factor",
        "minimum_topic_replications",
        "storage_min_free_bytes",
        "topic_partitions_per_shard",
        "write_caching_default",
    )
)
_FIXED: Final = """
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
num.network.threads=1
num.io.threads=2
background.threads=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
"""
_DEFAULTS: Final = {"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0"}
"""Redpanda's, where Kafka's are others."""


class Address(NamedTuple):
    """Of a listener, which may have a name."""

    name: str
    host: str
    port: int


def refuse(why: str) -> NoReturn:
    sys.exit(f"rpk (stand-in): {why}")


def parse(arguments: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The flags of `start`, and the properties that `--set` gave."""
    flags: dict[str, str] = {}
    properties: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            refuse(f"too many positional options have been specified on the command line: {argument}")
        elif argument == "--set":
            key, is_pair, what = next(rest, "").partition("=")
            if not is_pair:
                refuse(f"key-value pair '{key}' is not formatted as expected (k=v)")
            properties[key] = what
        elif name in _SWITCHES:
            flags[name] = value if has_value else "true"
        elif name in _FLAGS:
            flags[name] = value if has_value else next(rest, "")
        else:
            hint = "; give --set and its value as two arguments" if name == "set" else ""
            refuse(f"unrecognised option '{argument}'{hint}")
    return flags, properties


def addresses(text: str, port: int) -> list[Address]:
    """Of `name://host:port|authentication, …`; port: where none is given."""
    found = []
    for part in text.split(","):
        name, has_name, where = part.split("|")[0].rpartition("://")
        host, has_port, number = where.rpartition(":")
        found.append(Address(name if has_name else "", host if has_port else where, int(number) if has_port else port))
    return found


def kafka_properties(flags: dict[str, str], properties: dict[str, str]) -> dict[str, str]:
    """What Kafka is told."""
    listeners = addresses(flags.get("kafka-addr", _KAFKA), 9092)
    given = flags.get("advertise-kafka-addr")
    advertised = {address.name: address for address in (addresses(given, 9092) if given else listeners)}
    if unknown := [address.name for address in listeners if address.name not in advertised]:
        refuse(f"the listener '{unknown[0]}' of --kafka-addr is not in --advertise-kafka-addr")
    control = addresses(flags.get("rpc-addr", _RPC), 33145)[0].port
    own = {"CONTROLLER": f"127.0.0.1:{control}", "BROKER": f"127.0.0.1:{control + 1}"}
    bound = {f"CLIENT{index}": f"{at.host}:{at.port}" for index, at in enumerate(listeners)}
    told = {f"CLIENT{index}": advertised[at.name] for index, at in enumerate(listeners)}
    return (
        _DEFAULTS
        | {
            "listeners": ",".join(f"{name}://{at}" for name, at in (own | bound).items()),
            "advertised.listeners": ",".join(
                [f"BROKER://{own['BROKER']}", *(f"{name}://{at.host}:{at.port}" for name, at in told.items())]
            ),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in (own | bound)),
            "controller.quorum.voters": f"1@{own['CONTROLLER']}",
            "log.dirs": str(_DATA / "kafka"),
        }
        | dict(translated(key, value) for key, value in properties.items() if not without_effect(key))
    )


def without_effect(key: str) -> bool:
    return key.removeprefix("redpanda.") in _WITHOUT_EFFECT


def translated(key: str, value: str) -> tuple[str, str]:
    section, _, name = key.partition(".")
    if section != "redpanda" or name not in _PROPERTIES:
        refuse(f"Unknown property {key} (or one that this stand-in has never heard of: see rpk.py)")
    return _PROPERTIES[name], value


def require_single(flags: dict[str, str]) -> None:
    """Refuse seeds that are other nodes."""
    own = {"localhost", "127.0.0.1", socket.gethostname()}
    own |= {address.host for address in addresses(flags.get("advertise-rpc-addr", _RPC), 33145)}
    for seed in addresses(flags["seeds"], 33145) if flags.get("seeds") else []:
        if seed.host not in own and seed.host.split(".")[0] not in own:
            refuse(f"the seed {seed.host} is another node, and this stand-in is one node only: set replicas to 1")


def write(properties: dict[str, str], flags: dict[str, str]) -> Path:
    """Both configuration files; returns Kafka's."""
    file = _CONFIGURATION / "kafka.properties"
    try:
        (_CONFIGURATION / "redpanda.yaml").write_text(json.dumps(flags))
        file.write_text(_FIXED + "".join(f"{key}={value}\n" for key, value in properties.items()))
        (_DATA / "tmp").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"unable to write: {error}; mount a volume that user {os.getuid()} can write to")
    return file


def java(*arguments: str, memory: str) -> list[str]:
    """memory: of all, such as 1G. Half of it is the heap."""
    number, unit = int(memory[:-1]), memory[-1].upper()
    megabytes = number * {"M": 1, "G": 1024}[unit] // 2
    heap = (f"-Xms{megabytes // 2}m", f"-Xmx{megabytes}m")
    own = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", f"-Djava.io.tmpdir={_DATA / 'tmp'}")
    return ["java", *heap, *own, "-cp", "/opt/server/*", *arguments]


def format_new(file: Path, memory: str) -> None:
    """Give a new cluster its number, which stays in the volume."""
    if not (_DATA / "kafka" / "meta.properties").exists():
        number = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", number, "-c", str(file))
        subprocess.run(java(*tool, memory=memory), check=True)


def answers(at: Address) -> bool:
    """Whether the node answers the question which versions it speaks."""
    host = "127.0.0.1" if at.host == "0.0.0.0" else at.host
    with contextlib.suppress(OSError), socket.create_connection((host, at.port), 1) as connection:
        connection.settimeout(2)
        connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
        return len(connection.recv(4)) == 4
    return False


def serve_admin(at: Address) -> None:
    """The part of the admin API that probes ask."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v1/status/ready"
            ready = known and answers(at)
            self.send_response(200 if ready else 503 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "ready" if ready else "booting"}).encode())

        def log_message(self, *_: Any) -> None:
            """Probes are not worth a line."""

    server = ThreadingHTTPServer(("0.0.0.0", _ADMIN_PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> int:
    if sys.argv[1:3] != ["redpanda", "start"]:
        refuse(f"knows only `redpanda start`, not {' '.join(sys.argv[1:3])!r}")
    flags, properties = parse(sys.argv[3:])
    if flags.get("mode", "dev-container") != "dev-container":
        refuse(f"unrecognized mode {flags['mode']!r}; use --mode help for more info")
    require_single(flags)
    file = write(kafka_properties(flags, properties), flags)
    memory = flags.get("memory", "1G")
    format_new(file, memory)
    node = subprocess.Popen(java("kafka.Kafka", str(file), memory=memory))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.send_signal(signal.SIGTERM))
    serve_admin(addresses(flags.get("kafka-addr", _KAFKA), 9092)[0])
    ended = node.wait()
    return 0 if ended == 128 + signal.SIGTERM else ended


if __name__ == "__main__":
    sys.exit(main())
