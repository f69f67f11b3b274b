"""What an exchange in production stands on and its cluster does not run, on this machine, where pods reach it.

Brokers with TLS and logins, a database with both, a store for backups, and a site where users log in.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import jwt
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.real import broker, database, s3
from tests.support.certificates import self_signed

_TOKEN_SECONDS: Final = 300


class Outside:
    """All of it; each part is ended by its own pid."""

    def __init__(self, folder: Path, host: str) -> None:
        """host: the address of this machine that pods know."""
        self.broker = broker.Broker(folder / "broker", host=host)
        self.database = database.Database(folder / "database", host=host, secure=True)
        self.store = s3.S3(folder / "store", host=host)
        self.logins = LoginSite()
        self._servers = (self.broker, self.database, self.store)

    def start(self) -> None:
        """Start everything, and return once it answers."""
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(server.start) for server in self._servers]:
                started.result()

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        for server in self._servers:
            server.end()

    def cql(self, statements: str) -> None:
        """Have the administrator of the database say this."""
        self._as_administrator(lambda session: [session.execute(one) for one in statements.split(";") if one.strip()])

    def keyspaces(self) -> set[str]:
        """The names of all keyspaces."""
        rows = self._as_administrator(
            lambda session: session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
        )
        return {row.keyspace_name for row in rows}

    def _as_administrator(self, act: Callable[[Any], Any]) -> Any:
        cluster = Cluster(
            [self.database.host],
            port=self.database.port,
            protocol_version=4,
            auth_provider=PlainTextAuthProvider(database.USER, database.PASSWORD),
            ssl_context=ssl.create_default_context(cafile=str(self.database.certificate)),
        )
        try:
            return act(cluster.connect())
        finally:
            cluster.shutdown()


class LoginSite:
    """A site where users log in, and which signs tokens with RS256."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public_key(self) -> bytes:
        """As PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def token(self, issuer: str, audience: str, user: int) -> str:
        """What a user has who logged in. issuer: as the site calls itself."""
        claims = {"iss": issuer, "aud": audience, "sub": str(user), "scope": "read trade"}
        return jwt.encode(claims | {"exp": int(time.time()) + _TOKEN_SECONDS}, self._key, algorithm="RS256")


def secret_values(outside: Outside, folder: Path, login: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """By Secret, what the comments of k8s/exchange-production.yaml leave for its reader to fill in.

    login: that of the database. folder: for files.
    """
    certificate, key = self_signed()
    files = {"api.crt": certificate, "api.key": key, "public.pem": outside.logins.public_key()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    registry = {"docker-server": "registry.example.com", "docker-username": "nodes", "docker-password": "unused"}
    return {
        "redpanda-login": {"username": broker.USER, "password": broker.PASSWORD},
        "redpanda-ca": {"ca.crt": str(outside.broker.certificate)},
        "scylla-login": dict(login),
        "scylla-ca": {"ca.crt": str(outside.database.certificate)},
        "backup-store": outside.store.environment,
        "login-issuer": {"public.pem": str(folder / "public.pem")},
        "api-certificate": {"cert": str(folder / "api.crt"), "key": str(folder / "api.key")},
        "registry-login": registry,
    }
