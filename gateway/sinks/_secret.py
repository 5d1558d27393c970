"""Secrets on their way to a server. Whatever is wrong with one, it never stands in the words that say so."""

from __future__ import annotations

from base64 import b64encode

from gateway.errors import SinkHeld
from gateway.fields import Secret


def reveal(secret: Secret) -> str:
    """Raises `SinkHeld`."""
    try:
        return secret.reveal()
    except LookupError as error:
        raise SinkHeld(str(error)) from None


def header_value(secret: Secret) -> str:
    """A secret that stands in an HTTP header. What no header can carry would be quoted in the error of whoever tries,
    so it raises `SinkHeld` here."""
    text = reveal(secret)
    if not text.isprintable() or not text.isascii():
        raise SinkHeld(f"{_where(secret)} holds characters that an HTTP header cannot carry")
    return text


def basic(username: str, password: Secret) -> str:
    """The value of Authorization (RFC 7617)."""
    user = f"{username}:{reveal(password)}"
    return f"Basic {b64encode(user.encode()).decode()}"


def _where(secret: Secret) -> str:
    return f"the secret file {secret.file}" if secret.env is None else f"the environment variable {secret.env}"
