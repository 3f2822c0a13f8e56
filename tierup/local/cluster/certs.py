"""Create a local cluster's keys and certificates."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)


def write_private(path: Path, data: bytes) -> Path:
    """Write `data` to a new file that only its owner can read, from its creation on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return path


def write_key_pair(folder: Path, name: str) -> None:
    """Create `<name>.key` and `<name>.pub` (PEM, P-256), which sign and verify service-account tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(folder / f"{name}.key", _private_pem(key))
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / f"{name}.pub", pem)


def self_signed(*names: str) -> tuple[str, str]:
    """A server's certificate for these DNS names and its key, PEM; a client trusts it by the certificate itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(names[0], None)
    builder = _builder(name, name, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    extensions: tuple[x509.ExtensionType, ...] = (
        x509.SubjectAlternativeName([x509.DNSName(item) for item in names]),
        # A client that trusts two certificates of one name finds the right one by its key.
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), _private_pem(key).decode()


class Authority:
    """A certificate authority. Its key is only in memory, so nobody can issue certificates once the cluster is up."""

    def __init__(self, folder: Path, name: str) -> None:
        """Create the authority and write its certificate to `<folder>/<name>.crt`."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name, None)
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
        self._write(name, builder.sign(self._key, hashes.SHA256()))

    def issue(
        self,
        file: str,
        user: str,
        group: str | None = None,
        addresses: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        """Write `<file>.crt` and `<file>.key` for `user`; Kubernetes reads the user from CN and the group from O.

        Each is for a server at loopback, `addresses` and `names`, and for a client: etcd connects to itself.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", *addresses)
        ]
        alternatives += [
            x509.DNSName(name) for name in ("localhost", "kubernetes", "kubernetes.default.svc", *names)
        ]
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_subject(user, group), self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        self._write(file, builder.sign(self._key, hashes.SHA256()))
        write_private(self._folder / f"{file}.key", _private_pem(key))

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        write_private(self._folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _subject(user: str, group: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group is not None:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
