"""Orders as JSON, and what is answered to them. Pure.

An order is one flat object, and nothing that is not in the table may stand in it:

| key | | |
|---|---|---|
| `id` | text | the sender's own, another for each order: up to 128 printable ASCII characters |
| `tag` | text | `device/tag` |
| `value` | true or false, a number, or text | |
| `time` | nanoseconds since 1970, or RFC 3339 with its zone | when it was issued |
| `ttl` | seconds | how long it holds, if not as long as `max_age` |
| `who` | text | whom to name in the log |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.clock import SECOND
from gateway.errors import CommandRefused
from gateway.model import CommandDone, Order

MOST_BYTES: Final = 16 * 1024
_MOST_REASON = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    """Typed and flat, so that nothing in it can be nested."""

    id: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[!-~]+\Z")]
    tag: Annotated[str, Meta(min_length=1, max_length=257)]
    value: bool | int | float | Annotated[str, Meta(max_length=4096)]
    time: Annotated[int, Meta(ge=0, le=2**63 - 1)] | Annotated[datetime, Meta(tz=True)]
    ttl: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    who: Annotated[str, Meta(max_length=128)] = ""


_decoder = msgspec.json.Decoder(_Wire)


def decode(payload: bytes) -> Order:
    """Raises CommandRefused for anything that is not exactly an order."""
    if len(payload) > MOST_BYTES:
        raise CommandRefused(f"it has {len(payload)} bytes, an order has at most {MOST_BYTES}")
    try:
        wire = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CommandRefused(f"it is no order: {str(error)[:_MOST_REASON]}") from None
    if isinstance(wire.value, int) and not -(2**63) <= wire.value < 2**64:
        raise CommandRefused("it is no order: the value has more than 64 bits")
    issued = wire.time if isinstance(wire.time, int) else (wire.time - _EPOCH) // _MICROSECOND * 1000
    expires = None if wire.ttl is None else issued + round(wire.ttl * SECOND)
    return Order(wire.id, wire.tag, wire.value, issued, expires, wire.who)


def answer(done: CommandDone, place: Mapping[str, str]) -> bytes:
    """How an order ended."""
    told = {"id": done.command, "tag": done.tag, "value": done.value, "outcome": done.outcome, "reason": done.reason}
    return msgspec.json.encode({"time": done.time, **place, **told})


def denial(reason: str, time: int, place: Mapping[str, str]) -> bytes:
    """What is answered to something that is no order: nobody knows which one it was meant to be."""
    return msgspec.json.encode({"time": time, **place, "id": None, "outcome": "refused", "reason": reason})
