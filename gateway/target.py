"""Where a device is, as a URL says it: `modbus://192.0.2.10:502?unit=1`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from gateway.errors import ConfigError

_MOST_LETTERS = 2_000
_MOST_HOST = 253  # RFC 1035, 2.3.4


@dataclass(frozen=True, slots=True)
class Target:
    """`options` are what stands behind the question mark; `port` is None where the URL leaves it to the protocol."""

    scheme: str
    host: str
    port: int | None
    user: str | None
    path: str
    options: Mapping[str, Sequence[str]]

    @property
    def authority(self) -> str:
        """Host and port, as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def number(self, option: str, default: float, low: float, high: float) -> float:
        """An option that is a number. Raises ConfigError."""
        given = self.options.get(option, [str(default)])[-1]
        try:
            number = float(given)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ConfigError(f"{option}={given}: write a number from {low:g} to {high:g}")
        return number


def parse(url: str, *options: str) -> Target:
    """Raises ConfigError, also for an option that is none of these."""
    if len(url) > _MOST_LETTERS:
        raise ConfigError("the URL is too long")
    try:
        # In a topic + and # mean what they are, and there is no other use for them here.
        parts = urlsplit(url.replace("#", "%23").replace("+", "%2B"))
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url} is no URL: {error}") from error
    if len(parts.hostname or "") > _MOST_HOST:
        raise ConfigError(f"a host has at most {_MOST_HOST} letters")
    if not parts.hostname:
        raise ConfigError(f"{url} names no host: write {parts.scheme or 'modbus'}://HOST")
    if parts.password is not None:
        raise ConfigError("a password does not stand in a URL, where others can read it: leave it out")
    user = unquote(parts.username) if parts.username else None
    return Target(parts.scheme, parts.hostname, port, user, unquote(parts.path), _options(parts, options))


def _options(parts: SplitResult, known: Sequence[str]) -> Mapping[str, Sequence[str]]:
    found = parse_qs(parts.query, keep_blank_values=True)
    unknown = [name for name in found if name not in known]
    if unknown:
        hint = f"known are {', '.join(known)}" if known else "there are none"
        raise ConfigError(f"unknown option {unknown[0]!r} in the URL: {hint}")
    return found
