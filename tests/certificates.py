"""An authority of a test's own and the certificate of one node, as Ray wants them."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM


def issued(folder: Path, addresses: Iterable[str]) -> dict[str, str]:
    """Write a node's key and certificate and its authority's; Ray's variables that name them."""
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    root = _unsigned("authority", authority, ca=True).sign(authority, hashes.SHA256())
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(set(addresses))]
    node = _unsigned("node", key, ca=False).add_extension(
        x509.SubjectAlternativeName([x509.DNSName("localhost"), *names]), critical=False
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    contents = {
        "RAY_TLS_CA_CERT": root.public_bytes(_PEM),
        "RAY_TLS_SERVER_CERT": node.sign(authority, hashes.SHA256()).public_bytes(_PEM),
        "RAY_TLS_SERVER_KEY": key.private_bytes(_PEM, *plain),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {"RAY_USE_TLS": "1", **{name: str(folder / name) for name in contents}}


def _unsigned(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_called(name))
        .issuer_name(_called("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
