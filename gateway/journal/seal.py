"""Keys, and the sealing of chunks: zstd, then AES-256-GCM.

Every segment has a data key of its own, which stands in it wrapped by the key-encryption key (AES Key Wrap, RFC 3394).
The key-encryption key comes from a secret that the configuration names, or from a file of mode 0600 beside the journal
that is made at the first start. Whoever has only the journal's files can read nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway import files
from gateway.errors import ConfigError, GatewayError

_log = logging.getLogger(__name__)

KEY_BYTES = 32
_NONCE_BYTES = 12
_MAX_CONTENT = 256 << 20
_LEVEL = 1


class SealBroken(GatewayError):
    """A sealed chunk was changed, moved to another place, or belongs to another key. Give it up and say so."""


def load_key(path: Path, secret: str | None = None, fresh: bool = True) -> bytes:
    """The key-encryption key: 64 hexadecimal digits in `secret`, else in the file `path`. A journal that is `fresh`
    gets a new file where there is none.

    Raises ConfigError when what is there is no key, or when the key of a journal is missing.
    """
    if secret is None and not path.exists():
        if not fresh:
            raise ConfigError(
                f"{path} is missing, and without it the journal cannot be read: put it back, or move the "
                "journal's directory away to begin a new one"
            )
        _create(path, secrets.token_hex(KEY_BYTES))
    if secret is None and path.stat().st_mode & 0o077:
        _log.warning("%s can be read by others than its owner: chmod 600 it", path)
    origin = "the journal's key secret" if secret is not None else str(path)
    try:
        key = bytes.fromhex((secret if secret is not None else path.read_text(encoding="ascii")).strip())
    except (ValueError, OSError) as error:
        raise ConfigError(f"{origin} is no key: {error}") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{origin} has {len(key)} bytes; 64 hexadecimal digits ({KEY_BYTES} bytes) are needed")
    return key


def _create(path: Path, text: str) -> None:
    """Durable before it is used: a key that is lost after the first chunk was sealed takes the chunk with it."""
    draft = path.with_name(f"{path.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, text.encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.rename(path)
    files.sync(path.parent)


class Seal:
    """Seals and opens with one data key. `place` is authenticated with the content: a chunk that was moved to another
    place does not open. One thread at a time may seal; any number may open."""

    def __init__(self, data_key: bytes) -> None:
        self._key = data_key
        self._cipher = AESGCM(data_key)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    @classmethod
    def fresh(cls) -> Seal:
        return cls(AESGCM.generate_key(KEY_BYTES * 8))

    @classmethod
    def unwrap(cls, key: bytes, wrapped: bytes) -> Seal:
        """Raises SealBroken when `key` is not the one that it was wrapped with."""
        try:
            return cls(aes_key_unwrap(key, wrapped))
        except (InvalidUnwrap, ValueError) as error:
            raise SealBroken("the data key was wrapped with another key") from error

    def wrap(self, key: bytes) -> bytes:
        return aes_key_wrap(key, self._key)

    def close(self, content: bytes, place: bytes) -> bytes:
        """Compressed and encrypted. A nonce is random: the retry of a failed commit must never reuse one."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, self._compressor.compress(content), place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """What `close` was given. Raises SealBroken."""
        try:
            packed = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
            size = zstandard.frame_content_size(packed)
            if not 0 <= size <= _MAX_CONTENT:
                raise SealBroken(f"a chunk claims to hold {size} bytes")
            return zstandard.ZstdDecompressor().decompress(packed)
        except (InvalidTag, ValueError, zstandard.ZstdError) as error:
            raise SealBroken("a chunk was changed or moved") from error
