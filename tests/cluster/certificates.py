"""The certificates of a cluster, from an authority of its own, and the files by which clients use them."""

import datetime
import ipaddress
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADMINISTRATORS: Final = "system:masters"
"""The group that may do everything."""
_GOOD_FOR: Final = datetime.timedelta(days=3650)
_BEFORE: Final = datetime.timedelta(hours=1)


class Pair(NamedTuple):
    """Files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """It issues certificates into a folder, each once: who comes back to the folder finds the same ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.pair = self._files("ca")
        if not self.pair.certificate.exists():
            self._make_itself()

    def issue(self, file: str, name: str, *, group: str = "", addresses: Sequence[str] = ()) -> Pair:
        """A certificate for a client of that name and group, or for a server at these addresses or host names."""
        pair = self._files(file)
        if pair.certificate.exists():
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = _builder(_name(name, group), authority.subject, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if addresses:
            names = x509.SubjectAlternativeName([_general_name(address) for address in addresses])
            builder = builder.add_extension(names, critical=False)
        _write(pair, builder.sign(self._key(), hashes.SHA256()), key)
        return pair

    def kubeconfig(self, file: str, server: str, pair: Pair) -> Path:
        """What a client of the API server reads. server: its URL."""
        user = {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }
        cluster = {"server": server, "certificate-authority-data": _base64(self.pair.certificate)}
        context = {"cluster": "test", "user": "test"}
        path = self._folder / f"{file}.kubeconfig"
        text = yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": user}],
                "contexts": [{"name": "test", "context": context}],
                "current-context": "test",
            }
        )
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _files(self, file: str) -> Pair:
        return Pair(self._folder / f"{file}.crt", self._folder / f"{file}.key")

    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _make_itself(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("test authority", "")
        builder = _builder(name, name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        _write(self.pair, builder.sign(key, hashes.SHA256()), key)


def _name(name: str, group: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _GOOD_FOR)
    )


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    # The old format: the API server does not read this kind of key from the new one.
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(private)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _base64(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()
