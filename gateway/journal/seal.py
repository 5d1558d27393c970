"""The sealing of chunks: zstd, then AES-256-GCM, with a data key of each segment's own.

A data key stands in its segment, wrapped by the key-encryption key (see `keys`). Whoever has only the journal's files
can read nothing.
"""

from __future__ import annotations

import os

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.journal.keys import KEY_BYTES, KeyRing, SealBroken

_NONCE_BYTES = 12
_MAX_CONTENT = 256 << 20
_LEVEL = 1

CHANGED = "a chunk was changed or moved"


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
    def unwrap(cls, keys: KeyRing, wrapped: bytes) -> Seal:
        """Raises SealBroken when no key on the ring is the one that it was wrapped with."""
        return cls(keys.unwrap(wrapped))

    def wrap(self, keys: KeyRing) -> bytes:
        return keys.wrap(self._key)

    def wrap_for_recovery(self, keys: KeyRing) -> bytes | None:
        return keys.wrap_for_recovery(self._key)

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
            raise SealBroken(CHANGED) from error
