"""The id of a message, by which a far side that cannot overwrite tells a repeat from something new. Pure.

It follows from what the message says and from nothing else: not from the batch it came in, the attempt, or the process.
So what is sent again after a lost answer, a restart or a crash bears the id that it bore before; and two rows that
share a source time and differ in anything have two. 128 bits: no two of 10¹⁴ messages are expected to share one.
"""

from __future__ import annotations

import hashlib

_BYTES = 16


def row_id(  # noqa: PLR0913 - what identifies a row has that many parts
    site: str, cell: str, device: str, group: str, time: int, content: bytes
) -> str:
    """32 hexadecimal digits. `time` is the source time in nanoseconds, `content` what is said of the row, always
    encoded in the same way."""
    return _digest(b"row", *_texts(site, cell, device, group), str(time).encode(), content)


def event_id(site: str, cell: str, content: bytes) -> str:
    """32 hexadecimal digits. `content` is the event, always encoded in the same way."""
    return _digest(b"event", *_texts(site, cell), content)


def _texts(*texts: str) -> list[bytes]:
    return [text.encode(errors="surrogatepass") for text in texts]


def _digest(*parts: bytes) -> str:
    """Each part goes in with its length, so that `ab`, `c` is not `a`, `bc`."""
    whole = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()
