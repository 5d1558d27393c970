"""The rows of some chunks, cut to what is written at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.halving import crop, halves, singles
from gateway.model import Rows


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of chunk `seq`."""

    seq: int
    rows: Rows


def cut(part: Part) -> list[Part]:
    return [Part(part.seq, rows) for rows in halves(part.rows)]


def ones(part: Part) -> Iterator[Part]:
    return (Part(part.seq, rows) for rows in singles(part.rows))


def portions(parts: Sequence[Part], size: int) -> Iterator[list[Part]]:
    """Equal portions of about `size` points, each to be written at once. A part goes into two where need be; a row goes
    whole."""
    total = sum(part.rows.points for part in parts)
    share = max(1.0, total / max(1, round(total / size)))
    portion: list[Part] = []
    room = share
    for part in parts:
        for piece in _slices(part, share, room):
            if portion and room <= 0:
                yield portion
                portion, room = [], room + share
            portion.append(piece)
            room -= piece.rows.points
    if portion:
        yield portion


def _slices(part: Part, share: float, room: float) -> Iterator[Part]:
    """So many rows as there is still room for, and then as much as makes a share, until all are there."""
    count = len(part.rows.gateway_time)
    each = part.rows.points / max(1, count) or 1.0
    at = 0
    while at < count:
        rows = max(1, round((room if room > 0 else share) / each))
        yield part if at == 0 and rows >= count else Part(part.seq, crop(part.rows, slice(at, at + rows)))
        at += rows
        room = share
