"""Self-signed application certificates, as OPC UA applications have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_USAGES = dict.fromkeys(
    ["key_cert_sign", "crl_sign", "encipher_only", "decipher_only", "key_agreement", "content_commitment"], False
)


def make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


def issue(
    folder: Path, key: rsa.RSAPrivateKey, name: str = "own", *, days: int = 1, pem: bool = True
) -> dict[str, Any]:
    """A certificate that is valid for so many days from yesterday on, and its key, in files whose names say nothing
    about their form; as link settings."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    yesterday = datetime.now(UTC) - timedelta(days=1)
    usages = x509.KeyUsage(digital_signature=True, key_encipherment=True, data_encipherment=True, **_USAGES)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(yesterday - timedelta(days=1))
        .not_valid_after(yesterday + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:test:{name}")]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usages, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM if pem else serialization.Encoding.DER
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = {"certificate": folder / f"{name}.crt", "key": folder / f"{name}.key"}
    paths["certificate"].write_bytes(certificate.public_bytes(encoding))
    paths["key"].write_bytes(secret)
    return {kind: str(path) for kind, path in paths.items()}
