"""How long our own certificates are still valid, while there is time to renew them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate

from drivers.opcua.credentials import load_certificate
from drivers.opcua.settings import LinkSettings
from gateway.clock import SECOND
from gateway.errors import ConfigError

STAGES: Final = (1, 7, 30)
"""Days before it; each is told once."""


def caution(settings: LinkSettings, now: int) -> str:
    """What is to be done, `now` (nanoseconds UTC); nothing while nothing is. The files are read anew: whoever has
    renewed one hears no more of it."""
    return "; ".join(_words(settings, datetime.fromtimestamp(now / SECOND, UTC)))


def _words(settings: LinkSettings, now: datetime) -> Iterator[str]:
    for path in (settings.certificate, settings.user_certificate):
        if path is None:
            continue
        try:
            certificate = load_certificate(path)
        except ConfigError as error:  # the session stands; the next one will not
            yield str(error)
            continue
        if words := _remaining(path, certificate, now):
            yield words


def _remaining(path: Path, certificate: Certificate, now: datetime) -> str:
    end = certificate.not_valid_after_utc
    if end < now:
        return f"our certificate {path} expired on {end:%Y-%m-%d}: renew it, as no new session will open with it"
    stage = next((days for days in STAGES if end - now <= timedelta(days=days)), None)
    within = "a day" if stage == 1 else f"{stage} days"
    return "" if stage is None else f"our certificate {path} expires within {within}, on {end:%Y-%m-%d}: renew it"
