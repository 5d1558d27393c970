"""Version 2 against the real VictoriaMetrics, and what it cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.model import AlarmChanged, AlarmState, ValueType
from gateway.sinks.influxdb import Settings, Sink
from tests.gateway.sinks.samples import NOT_CONNECTED, START, rows
from tests.parts.victoria import Victoria

pytestmark = pytest.mark.real("victoria-metrics")

F64, U64, TEXT = ValueType.FLOAT64, ValueType.UINT64, ValueType.STRING
MS = START // 1_000_000


@pytest.fixture
async def sink(victoria_metrics: Victoria) -> AsyncIterator[Sink]:
    settings = {"url": victoria_metrics.url, "version": "v2", "org": "plant", "bucket": "line-a"}
    made = Sink(
        Settings.model_validate({"sink": "influxdb", "server": "victoriametrics", **settings}), "plant-1", "line-a"
    )
    yield made
    await made.close()


async def test_numbers_arrive(victoria_metrics: Victoria, sink: Sink) -> None:
    columns = {"run": ValueType.BOOL, "count": U64, "load": ValueType.FLOAT32}
    await sink.write([rows(columns, (True, 2**53, 0.1), (False, 7, -2.5), group="numbers")])
    assert victoria_metrics.export('{__name__=~"numbers_.*",device="press-1",site="plant-1"}') == {
        "numbers_run": [(MS, 1), (MS + 1000, 0)],
        "numbers_count": [(MS, 2**53), (MS + 1000, 7)],
        "numbers_load": [(MS, 0.1), (MS + 1000, -2.5)],
    }


async def test_a_small_number_beside_a_large_one_is_lost(victoria_metrics: Victoria, sink: Sink) -> None:
    await sink.write([rows({"x": F64}, (0.1,), (-1e20,), group="scales")])
    assert victoria_metrics.export('{__name__="scales_x"}') == {"scales_x": [(MS, 0), (MS + 1000, -1e20)]}


async def test_strings_are_kept_from_it(victoria_metrics: Victoria, sink: Sink) -> None:
    await sink.write([rows({"x": F64, "s": TEXT}, (1.5, "two\nlines"), group="mixed")])
    assert victoria_metrics.export('{__name__=~"mixed_.*"}') == {"mixed_x": [(MS, 1.5)]}


async def test_a_bad_value_is_its_code(victoria_metrics: Victoria, sink: Sink) -> None:
    await sink.write([rows({"x": F64}, (1.5,), group="bad", status=[[NOT_CONNECTED]])])
    assert victoria_metrics.export('{__name__=~"bad_.*"}') == {"bad_x.q": [(MS, NOT_CONNECTED)]}


async def test_an_alarm_shows_as_a_number(victoria_metrics: Victoria, sink: Sink) -> None:
    await sink.report([AlarmChanged(START, "hot", "p/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5)])
    assert victoria_metrics.export('{__name__=~"alarms_.*",alarm="hot"}') == {
        "alarms_active": [(MS, 1)],
        "alarms_latched": [(MS, 0)],
        "alarms_suppressed": [(MS, 0)],
        "alarms_value": [(MS, 81.5)],
    }


async def test_it_keeps_milliseconds_and_duplicates(victoria_metrics: Victoria, sink: Sink) -> None:
    batch = rows({"x": F64}, (1.0,), (2.0,), group="twice", times=[START, START + 1])
    await sink.write([batch])
    await sink.write([batch])
    samples = victoria_metrics.export('{__name__="twice_x"}')["twice_x"]
    assert samples == [(MS, 1.0), (MS, 1.0), (MS, 2.0), (MS, 2.0)]
