"""From asyncua's form of a value to ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.opcua.collect import Sample, pick_time
from drivers.opcua.convert import ARRAY, Kind, nanoseconds

if TYPE_CHECKING:
    from asyncua.ua import DataValue


def sample(column: int, data: DataValue, now: int) -> Sample:
    """`now` is when it came, in nanoseconds UTC."""
    variant, source, server = data.Value, data.SourceTimestamp, data.ServerTimestamp
    kind = Kind.NULL if variant is None else ARRAY if variant.is_array else variant.VariantType.value
    time = pick_time(
        None if source is None else nanoseconds(source), None if server is None else nanoseconds(server), now
    )
    status = 0 if data.StatusCode is None else data.StatusCode.value
    return Sample(column, kind, None if variant is None else variant.Value, status, time)
