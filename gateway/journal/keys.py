"""The key-encryption keys, under which every data key stands wrapped.

They come from a secret that the configuration names, or from a file of mode 0600 beside the journal that is made at the
first start. A line a key, 64 hexadecimal digits: the first one wraps, the others still open what an unfinished
rotation has not wrapped anew. A recovery key is the public half of a pair whose other half lies in a safe: with it,
and the journal's files, everything can be read when the key itself is lost.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway import files
from gateway.errors import ConfigError, GatewayError
from gateway.site import JournalSettings

_log = logging.getLogger(__name__)

KEY_BYTES = 32
_MOST_KEYS = 8


class SealBroken(GatewayError):
    """What is sealed was changed, moved to another place, or belongs to another key. Give it up and say so."""


class Opener(Protocol):
    """Whatever opens segments."""

    def data_key(self, facts: Mapping[str, bytes]) -> bytes:
        """Out of what a segment says of itself. Raises SealBroken."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """`current` wraps, `previous` still unwrap; `recovery` is the public half of the recovery key, if there is one.
    `path` is the file that they came from, which is written when they change; None where somebody else keeps them."""

    current: bytes
    previous: tuple[bytes, ...] = ()
    recovery: bytes | None = None
    path: Path | None = None

    def wrap(self, data_key: bytes) -> bytes:
        """AES Key Wrap, RFC 3394."""
        return aes_key_wrap(self.current, data_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises SealBroken when no key on the ring is the one that it was wrapped with."""
        for key in (self.current, *self.previous):
            try:
                return aes_key_unwrap(key, wrapped)
            except (InvalidUnwrap, ValueError):
                continue
        raise SealBroken("the data key was wrapped with another key")

    def data_key(self, facts: Mapping[str, bytes]) -> bytes:
        return self.unwrap(facts.get("key", b""))

    def is_current(self, wrapped: bytes) -> bool:
        try:
            aes_key_unwrap(self.current, wrapped)
        except (InvalidUnwrap, ValueError):
            return False
        return True

    def rotated(self, fresh: bytes) -> KeyRing:
        """`fresh` wraps from now on."""
        return replace(self, current=fresh, previous=(self.current, *self.previous))

    def settled(self) -> KeyRing:
        """Everything is wrapped with the current key: no other one is needed any more."""
        return replace(self, previous=())

    def wrap_for_recovery(self, data_key: bytes) -> bytes | None:
        """Wrapped so that only the private half of the recovery key opens it: a fresh X25519 key agrees with it on a
        wrapping key (HKDF-SHA-256, RFC 5869), and its public half stands in front."""
        if self.recovery is None:
            return None
        once = X25519PrivateKey.generate()
        public = once.public_key().public_bytes_raw()
        shared = once.exchange(X25519PublicKey.from_public_bytes(self.recovery))
        return public + aes_key_wrap(_agreed(shared, public), data_key)


@dataclass(frozen=True, slots=True, repr=False)
class RecoveryKey:
    """The private half of a recovery key."""

    private: bytes

    def data_key(self, facts: Mapping[str, bytes]) -> bytes:
        if "recovery" not in facts:
            raise SealBroken("it was kept without a recovery key")
        return recover(self.private, facts["recovery"])


def read_recovery(path: Path) -> RecoveryKey:
    """The private half in the file `path`. Raises ConfigError."""
    keys = _read(path)
    if len(keys) != 1:
        raise ConfigError(f"{path} holds {len(keys)} keys; the private half of a recovery key is one")
    return RecoveryKey(keys[0])


def recover(private: bytes, wrapped: bytes) -> bytes:
    """What `wrap_for_recovery` was given. Raises SealBroken."""
    try:
        public = wrapped[:KEY_BYTES]
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
        return aes_key_unwrap(_agreed(shared, public), wrapped[KEY_BYTES:])
    except (InvalidUnwrap, InvalidTag, ValueError) as error:
        raise SealBroken("this is not the recovery key that the journal was kept with") from error


def recovery_pair() -> tuple[str, str]:
    """A new recovery key, as hexadecimal digits: the private half, for the safe, and the public one, for the
    configuration."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw().hex(), private.public_key().public_bytes_raw().hex()


def _agreed(shared: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"edgeward journal recovery" + public).derive(shared)


# Where they come from


def of(data: Path, settings: JournalSettings) -> KeyRing:
    """Those of the journal in the data directory `data`. Raises ConfigError."""
    given = [secret.reveal() for secret in (settings.key, settings.previous_key) if secret is not None]
    fresh = not (data / "journal" / "catalog.db").exists()
    return load(data / "journal.key", given, fresh, settings.recovery_key)


def load(path: Path, secrets_given: Sequence[str] = (), fresh: bool = True, recovery: str | None = None) -> KeyRing:
    """The keys in `secrets_given`, the current one first, else those in the file `path`. A journal that is `fresh` gets
    a new file where there is none.

    Raises ConfigError when what is there is no key, or when the key of a journal is missing.
    """
    public = None if recovery is None else _parse(recovery, "journal.recovery_key")
    if secrets_given:
        keys = [_parse(secret, "the journal's key secret") for secret in secrets_given]
        return KeyRing(keys[0], tuple(keys[1:]), public)
    if not path.exists():
        if not fresh:
            raise ConfigError(
                f"{path} is missing, and without it the journal cannot be read: put it back, or move the "
                "journal's directory away to begin a new one"
            )
        save(KeyRing(generate(), path=path))
    if path.stat().st_mode & 0o077:
        _log.warning("%s can be read by others than its owner: chmod 600 it", path)
    keys = _read(path)
    return KeyRing(keys[0], tuple(keys[1:]), public, path)


def generate() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def save(keys: KeyRing) -> None:
    """Into their file, if they have one. Durable before it is used: a key that is lost after the first chunk was sealed
    takes the chunk with it. Raises OSError."""
    if keys.path is None:
        return
    path = keys.path
    draft = path.with_name(f"{path.name}.new")
    text = "".join(f"{key.hex()}\n" for key in (keys.current, *keys.previous))
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, text.encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.rename(path)
    files.sync(path.parent)


def _read(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} is no key: {error}") from error
    if not 0 < len(lines) <= _MOST_KEYS:
        raise ConfigError(f"{path} is no key: a line of 64 hexadecimal digits is needed")
    return [_parse(line, str(path)) for line in lines]


def _parse(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise ConfigError(f"{origin} is no key: 64 hexadecimal digits are needed") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{origin} has {len(key)} bytes; 64 hexadecimal digits ({KEY_BYTES} bytes) are needed")
    return key
