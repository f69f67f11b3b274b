"""A real Cassandra for tests: one node, no containers, its jars fetched by Maven once a machine.

ScyllaDB speaks the same protocol.
"""

import json
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cassandra import DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from tests.real.jars import jars
from tests.real.server import JavaServer, free_ports
from tests.support.certificates import self_signed

VERSION: Final = "5.0.5"
HOST: Final = "127.0.0.1"
USER: Final = "exchange"
PASSWORD: Final = "a-password-for-tests"
_FIRST_USER: Final = "cassandra"
_KEYSTORE_PASSWORD: Final = "keystore"
_EXPORTS: Final = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
)
_OPENS: Final = (
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
)
OPTIONS: Final = (
    # Half of it for what is young: batches come and go, and a full collection stops everything.
    "-Xms1g",
    "-Xmx1g",
    "-Xmn400m",
    "-Xss256k",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=1",
    "-Dcassandra.superuser_setup_delay_ms=0",
    *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
    *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
)

# What was acknowledged survives kill -9 (commitlog_sync: periodic would lose the last 100 ms of it).
CONFIGURATION: Final[dict[str, Any]] = {
    "cluster_name": "exchange tests",
    "num_tokens": 1,
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "SimpleSnitch",
    "listen_address": HOST,
    "start_native_transport": True,
    "commitlog_sync": "batch",
    "commitlog_segment_size": "32MiB",
    "materialized_views_enabled": True,
    "auto_snapshot": False,
    "memtable_heap_space": "192MiB",
    "memtable_offheap_space": "192MiB",
    "memtable_allocation_type": "heap_buffers",
    "key_cache_size": "16MiB",
    "row_cache_size": "0MiB",
    "counter_cache_size": "0MiB",
    "file_cache_size": "64MiB",
    "concurrent_reads": 8,
    # Each waits until its write is on the disk, and one sync serves all that wait.
    "concurrent_writes": 128,
    "concurrent_materialized_view_writes": 64,
    "concurrent_compactors": 1,
    "compaction_throughput": "64MiB/s",
    "cdc_enabled": False,
    # The machine may be busy with other tests, and batches are as large as ours are.
    "read_request_timeout": "20s",
    "range_request_timeout": "20s",
    "write_request_timeout": "20s",
    "request_timeout": "20s",
    "batch_size_warn_threshold": "50KiB",
}


class Database(JavaServer):
    """One node of Cassandra.

    host: the address of this machine on which clients are answered. secure: TLS with the certificate in `certificate`,
    and a login with USER and PASSWORD; else neither.
    """

    def __init__(self, folder: Path, *, host: str = HOST, secure: bool = False) -> None:
        super().__init__("database", folder, jars("cassandra", VERSION), OPTIONS)
        self.host = host
        self.port, storage_port = free_ports(2)
        self.address = f"{host}:{self.port}"
        self.certificate = folder / "certificate.pem"
        self._secure = secure
        self._has_user = not secure
        self._file = folder / "cassandra.yaml"
        self._data = folder / "data"
        configuration = CONFIGURATION | {
            "rpc_address": host,
            "native_transport_port": self.port,
            "storage_port": storage_port,
            "seed_provider": [
                {
                    "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                    "parameters": [{"seeds": f"{HOST}:{storage_port}"}],
                }
            ],
            "data_file_directories": [str(self._data / "data")],
            "commitlog_directory": str(self._data / "commitlog"),
            "saved_caches_directory": str(self._data / "saved_caches"),
            "hints_directory": str(self._data / "hints"),
            "cdc_raw_directory": str(self._data / "cdc_raw"),
        }
        if secure:
            configuration |= self._security(folder / "keystore.p12")
        # JSON is YAML.
        self._file.write_text(json.dumps(configuration))

    def move(self, host: str) -> None:
        """Answer clients on another address from the next start on, as a pod does that is started again."""
        self.host, self.address = host, f"{host}:{self.port}"
        configuration = json.loads(self._file.read_text()) | {"rpc_address": host}
        self._file.write_text(json.dumps(configuration))

    def _security(self, keystore: Path) -> dict[str, Any]:
        certificate, key = self_signed(self.host)
        self.certificate.write_bytes(certificate)
        parsed: Any = load_pem_private_key(key, None)
        keystore.write_bytes(
            pkcs12.serialize_key_and_certificates(
                b"database",
                parsed,
                x509.load_pem_x509_certificate(certificate),
                None,
                BestAvailableEncryption(_KEYSTORE_PASSWORD.encode()),
            )
        )
        return {
            "authenticator": "PasswordAuthenticator",
            "authorizer": "CassandraAuthorizer",
            "client_encryption_options": {
                "enabled": True,
                "optional": False,
                "keystore": str(keystore),
                "keystore_password": _KEYSTORE_PASSWORD,
                "store_type": "PKCS12",
            },
        }

    def _main(self) -> Sequence[str]:
        # Options that name files stand before the main class.
        return (
            f"-Dcassandra.config=file://{self._file}",
            f"-Dcassandra.storagedir={self._data}",
            f"-Dcassandra.logdir={self._data}",
            "org.apache.cassandra.service.CassandraDaemon",
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        user = (USER, PASSWORD) if self._has_user else (_FIRST_USER, _FIRST_USER)
        cluster = Cluster(
            [self.host],
            port=self.port,
            protocol_version=4,
            connect_timeout=2,
            auth_provider=PlainTextAuthProvider(*user) if self._secure else None,
            ssl_context=ssl.create_default_context(cafile=str(self.certificate)) if self._secure else None,
        )
        try:
            session = cluster.connect()
            if not self._has_user:
                session.execute(
                    f"CREATE ROLE {USER} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true AND SUPERUSER = true"
                )
                self._has_user = True
            return session.execute("SELECT release_version FROM system.local").one() is not None
        except (NoHostAvailable, DriverException):
            return False
        finally:
            cluster.shutdown()
