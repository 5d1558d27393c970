"""What people write about a broker, whoever wants to speak to it."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import Field, model_validator

from gateway.fields import Duration, Secret, Settings, parse_duration


class TlsSettings(Settings):
    """TLS 1.2 or later. The broker's certificate and host name are always verified."""

    ca: Path | None = Field(None, description="certificates to trust, PEM; the system's unless set")
    certificate: Path | None = Field(None, description="our own certificate, PEM")
    key: Path | None = Field(None, description="the private key of our own certificate, PEM")

    @model_validator(mode="after")
    def _both(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        return self

    def context(self) -> ssl.SSLContext:
        """What a connection is made with. Raises OSError for files that cannot be read, or that hold something else."""
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            # Without a password to try, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        return context


class BrokerSettings(Settings):
    """Where a broker is, and who we are to it."""

    host: str = Field(min_length=1, description="the broker's name or address")
    port: int = Field(1883, ge=1, le=65_535, description="1883 is usual, 8883 with TLS")
    username: str | None = None
    password: Secret | None = None
    tls: TlsSettings | None = Field(None, description="{} for TLS with the system's certificates; none unless set")
    client_id: str | None = Field(
        None, min_length=1, max_length=128, description="what the broker knows the session by; two may not share one"
    )
    keepalive: Duration = Field(
        parse_duration("30s"),
        ge=parse_duration("1s"),
        le=parse_duration("18h"),
        description="how often a quiet connection is probed; after 1.5 times as long without a byte it is lost",
    )

    @model_validator(mode="after")
    def _has_user(self) -> BrokerSettings:
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        return self
