"""Version 1 against the real InfluxDB 1.6.7: what comes back is what was sent."""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.errors import ChunkRejected, ChunkTooLarge, SinkHeld
from gateway.handover import Handover
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.model import AlarmChanged, AlarmState, Rows, Value, ValueType
from gateway.registry import Registry
from gateway.sinks._line import Dialect, Renderer
from gateway.sinks.influxdb import Settings, Sink
from tests.gateway.sinks.lineprotocol import parse
from tests.gateway.sinks.samples import NOT_CONNECTED, START, rows
from tests.parts.influxd import MAX_BODY, Influxd

pytestmark = pytest.mark.real("influxd")

I64, F32, F64, TEXT = ValueType.INT64, ValueType.FLOAT32, ValueType.FLOAT64, ValueType.STRING

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def sink_of(influx: Influxd, database: str) -> Sink:
    return Sink(Settings(sink="influxdb", url=influx.url, version="v1", database=database), "plant-1", "line-a")


@pytest.fixture
async def sink(influx: Influxd) -> AsyncIterator[Sink]:
    made = sink_of(influx, influx.create("plant"))
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("type", "values"),
    [
        (ValueType.BOOL, [True, False]),
        (I64, [-(2**63), 2**63 - 1, 2**53 + 1]),
        (ValueType.UINT64, [0, 2**63 - 1]),
        (F64, [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e20, -0.0]),
        (TEXT, ['say "no" \\', "ü 工 😀", "two\nlines\r\n\ttab\x00nul", "", "\\\\\\"]),
    ],
)
async def test_types_come_back_exactly(influx: Influxd, sink: Sink, type: ValueType, values: list[Value]) -> None:
    await sink.write([rows({"x": type}, *[(value,) for value in values])])
    got = [row["x"] for row in influx.query("select x from fast", "plant")]
    assert got == values
    assert [isinstance(value, bool) for value in got] == [type is ValueType.BOOL] * len(values)


async def test_a_float32_comes_back_as_it_was(influx: Influxd, sink: Sink) -> None:
    values = [struct.unpack("f", struct.pack("f", x))[0] for x in (0.1, 3.4028235e38, 1e-45, 16777217.0, -1e20)]
    await sink.write([rows({"x": F32}, *[(value,) for value in values])])
    got = [struct.pack("f", row["x"]) for row in influx.query("select x from fast", "plant")]
    assert got == [struct.pack("f", value) for value in values]


async def test_what_has_no_type_there_is_marked(influx: Influxd, sink: Sink) -> None:
    await sink.write([rows({"x": ValueType.UINT64}, (2**63,), (7,))])
    large, small = influx.query('select x, "x.text" from fast', "plant")
    assert (large["x"], large["x.text"]) == (None, str(2**63))
    assert (small["x"], small["x.text"]) == (7, None)


async def test_a_bad_value_is_its_code(influx: Influxd, sink: Sink) -> None:
    await sink.write([rows({"x": F64, "y": F64}, (1.0, 2.0), status=[[NOT_CONNECTED, 0]])])
    assert influx.query("select * from fast", "plant")[0].items() >= {"x.q": NOT_CONNECTED, "y": 2.0}.items()


async def test_each_nanosecond_is_a_point(influx: Influxd, sink: Sink) -> None:
    await sink.write([rows({"x": F64, "y": F64}, (1.0, 2.0), times=[[START, START + 1]])])
    assert [row["time"] for row in influx.query("select * from fast", "plant")] == [START, START + 1]


async def test_written_again_it_falls_on_itself(influx: Influxd, sink: Sink) -> None:
    batch = rows({"x": F64, "y": I64}, (1.0, 2), (3.0, 4))
    event = AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5)
    for _ in range(3):
        await sink.write([batch])
        await sink.report([event])
    assert [(row["x"], row["y"]) for row in influx.query("select * from fast", "plant")] == [(1.0, 2), (3.0, 4)]
    (alarm,) = influx.query("select * from alarms", "plant")
    assert (alarm["alarm"], alarm["state"], alarm["value"]) == ("hot", "unacknowledged", 81.5)


async def test_two_alarms_in_one_nanosecond_are_two(influx: Influxd, sink: Sink) -> None:
    states = (AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL)
    await sink.report([AlarmChanged(START, name, "pump-1/t", *states, "high") for name in ("hot", "dry")])
    assert {row["alarm"] for row in influx.query("select * from alarms", "plant")} == {"hot", "dry"}


async def test_a_conflict_of_types_is_rejected(influx: Influxd, sink: Sink) -> None:
    await sink.write([rows({"x": I64}, (1,))])
    with pytest.raises(ChunkRejected, match="field type conflict"):
        await sink.write([rows({"x": F64, "y": F64}, (1.5, 2.5), times=[START + 1])])
    assert len(influx.query("select * from fast", "plant")) == 1  # the whole line is gone, y too


async def test_one_bad_point_in_5000(influx: Influxd, sink: Sink) -> None:
    """D1: somebody else wrote the field as an integer; of 100 tags in 50 rows, one is there once."""
    await sink.write([rows({"t99": I64}, (1,), times=[START - 1], device="other")])
    sink.ability = replace(sink.ability, typed=False)  # nobody knows of that type
    handover = Handover("cloud", sink, cast(Journal, None), ManualClock())
    present = [[True] * 99 + [row == 17] for row in range(50)]
    batch = rows({f"t{i}": F64 for i in range(100)}, *[[float(row)] * 100 for row in range(50)], present=present)
    requests = 0
    send = sink.write

    async def count(parts: Sequence[Rows]) -> None:
        nonlocal requests
        requests += 1
        await send(parts)

    sink.write = count  # type: ignore[method-assign]
    (refusal,) = await handover.give(Stream.NORMAL, [Chunk(Stream.NORMAL, 0, batch.points, (batch,))])
    assert "field type conflict" in refusal.reason
    assert '"tag":"t99","type":"float64","value":17.0' in refusal.content.decode()
    assert requests - 1 <= 2 * math.log2(batch.points) + 2
    assert len(influx.query("select t0, t98 from fast where device = 'press-1'", "plant")) == 50


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(list(ValueType)), min_size=2, max_size=8))
async def test_fields_that_keep_their_type_conflict_with_none(
    influx: Influxd, sink: Sink, types: list[ValueType]
) -> None:
    """D3: a tag that comes with another type every time, from one device and another."""
    influx.create("plant")
    registry = Registry(())
    for number, type in enumerate(types):
        values: list[Value] = ["", "7"] if type is TEXT else [0, 1]
        limits = np.iinfo(type.value) if "int" in type else None
        values += [] if limits is None else [int(limits.min), int(limits.max)]
        times = [START + 10 * number + place for place in range(len(values))]
        batch = rows({"t": type}, *[(value,) for value in values], times=times, device=f"d{number % 2}")
        registry.admit(batch.schema)
        await sink.write([registry.convert(batch)])
        assert len(influx.query(f"select * from fast where time >= {times[0]}", "plant")) == len(values)


async def test_too_much_at_once_is_too_large(sink: Sink) -> None:
    with pytest.raises(ChunkTooLarge):
        await sink.write([rows({"x": TEXT}, ("x" * (MAX_BODY + 1),))])


async def test_no_such_database_holds_the_sink(influx: Influxd) -> None:
    sink = sink_of(influx, "nowhere")
    with pytest.raises(SinkHeld, match="database not found"):
        await sink.write([rows({"x": F64}, (1.0,))])
    await sink.close()


async def test_version_2_is_not_there_before_1_8(influx: Influxd) -> None:
    sink = Sink(Settings(sink="influxdb", url=influx.url, version="v2", org="o", bucket="plant"), "plant-1", "line-a")
    with pytest.raises(SinkHeld, match="404"):
        await sink.write([rows({"x": F64}, (1.0,))])
    await sink.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(site=names, device=names, group=names, name=names, text=st.text(st.characters(exclude_categories=["Cs"])))
async def test_it_reads_names_as_our_parser_does(
    influx: Influxd, sink: Sink, site: str, device: str, group: str, name: str, text: str
) -> None:
    """The parser that the properties of rendering are tested with is no kinder than the server."""
    batch = rows({name: TEXT}, (text,), device=device, group=group)
    (line,) = parse(Renderer(site, "line-a", Dialect("integer")).render([batch]).decode())
    other = Sink(Settings(sink="influxdb", url=influx.url, version="v1", database="plant"), site, "line-a")
    influx.create("plant")
    await other.write([batch])
    await other.close()
    ((measurement),) = influx.query("show measurements", "plant")
    assert measurement["name"] == line.measurement
    (stored,) = influx.query("select * from /.*/", "plant")
    fields = {key: value for key, (_, value) in line.fields.items()}
    # A field and a tag of one name come back under two.
    renamed = {f"{key}_1" if key in line.tags else key: value for key, value in fields.items()}
    assert stored == {"time": START, **line.tags, **renamed}
