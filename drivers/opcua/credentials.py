"""Certificates and keys out of files. PEM or DER: what is in a file says which, not its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.clock import SECOND
from gateway.errors import ConfigError

_MOST: Final = 256 * 1024
_PEM: Final = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: RSAPrivateKey

    @property
    def application_uri(self) -> str | None:
        """The first URI among the subject's alternative names (OPC UA Part 6, 6.2.2)."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return None
        return next(iter(names.value.get_values_for_type(x509.UniformResourceIdentifier)), None)


def load_identity(certificate: Path, key: Path, now: int) -> Identity:
    """Raises ConfigError for what cannot be used `now`, in nanoseconds UTC."""
    own = load_certificate(certificate)
    moment = datetime.fromtimestamp(now / SECOND, UTC)
    if moment > own.not_valid_after_utc:
        raise ConfigError(f"our certificate {certificate} expired on {own.not_valid_after_utc:%Y-%m-%d}: renew it")
    if moment < own.not_valid_before_utc:
        raise ConfigError(f"our certificate {certificate} is not valid before {own.not_valid_before_utc:%Y-%m-%d}")
    private = _load_key(key)
    if private.public_key() != own.public_key():
        raise ConfigError(f"the key {key} does not belong to the certificate {certificate}")
    return Identity(own, private)


def load_certificate(path: Path) -> x509.Certificate:
    """Raises ConfigError."""
    data = _read(path)
    try:
        return x509.load_pem_x509_certificate(data) if _PEM in data else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise ConfigError(f"{path} is no certificate, neither PEM nor DER") from error


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":")


def _load_key(path: Path) -> RSAPrivateKey:
    data = _read(path)
    load = serialization.load_pem_private_key if _PEM in data else serialization.load_der_private_key
    try:
        key = load(data, None)
    except TypeError as error:
        raise ConfigError(f"the key {path} is encrypted: leave it plain, and readable by the gateway alone") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no private key, neither PEM nor DER") from error
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"the key {path} is no RSA key, which these security policies need")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
