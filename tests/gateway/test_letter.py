from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.letter import event_letter, letter, reopen
from gateway.model import (
    AlarmChanged,
    AlarmState,
    AnyEvent,
    Column,
    CommandDone,
    DataLost,
    DeviceChanged,
    DeviceState,
    Outcome,
    Rows,
    Schema,
    Value,
    ValueType,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(-(2**63), 2**63 - 1)


def _values(type: ValueType) -> st.SearchStrategy[Value]:
    if type is ValueType.BOOL:
        return st.booleans()
    if type is ValueType.STRING:
        return texts
    if type.is_float:
        return st.floats(width=32 if type is ValueType.FLOAT32 else 64)
    limits = np.iinfo(type.value)
    return st.integers(int(limits.min), int(limits.max)) | st.sampled_from([int(limits.min), int(limits.max)])


@st.composite
def one_value(draw: st.DrawFn) -> Rows:
    type = draw(st.sampled_from(list(ValueType)))
    time = [draw(times)]
    status = draw(st.integers(0, 2**32 - 1))
    return Rows(
        Schema(draw(texts), draw(texts), (Column(draw(texts), type, draw(texts)),)),
        np.array([time] if draw(st.booleans()) else time, np.int64),
        np.array([draw(times)], np.int64),
        (np.array([[draw(_values(type))]], type.dtype),),
        np.array([[status]], np.uint32) if status else None,
    )


@given(one_value())
def test_what_a_letter_holds_comes_back_exactly(rows: Rows) -> None:
    back = reopen(letter(rows))
    assert isinstance(back, Rows)
    assert back.schema == rows.schema
    assert back.source_time.tolist() == rows.source_time.ravel().tolist()
    assert back.gateway_time.tolist() == rows.gateway_time.tolist()
    assert (back.status is None) == (rows.status is None)
    if rows.status is not None and back.status is not None:
        assert back.status.tolist() == rows.status.tolist()
    (sent,), (got,) = rows.values[0].tolist(), back.values[0].tolist()
    assert back.values[0].dtype == rows.values[0].dtype
    if rows.schema.columns[0].type.is_float and math.isnan(sent[0]):
        assert math.isnan(got[0])
    else:
        assert got == sent
        assert math.copysign(1, got[0]) == math.copysign(1, sent[0]) if isinstance(sent[0], float) else True


def test_a_letter_says_all_about_its_value() -> None:
    rows = Rows(
        Schema("press", "fast", (Column("t2", ValueType.FLOAT64, "bar"),)),
        *(np.array([7]), np.array([8])),
        (np.zeros((1, 1)),),
    )
    assert json.loads(letter(rows)) == {
        "device": "press",
        "group": "fast",
        "tag": "t2",
        "unit": "bar",
        "type": "float64",
        "value": 0.0,
        "status": 0,
        "source_time": 7,
        "gateway_time": 8,
    }


@pytest.mark.parametrize(
    "event",
    [
        AlarmChanged(
            1, "hot", "p/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 2**64 - 1, "too hot", "eve"
        ),
        AlarmChanged(
            1,
            "hot",
            "p/t",
            AlarmState.NORMAL,
            AlarmState.NORMAL,
            "high",
            actor="eve",
            comment="noise",
            move="shelve",
            latched=True,
            suppressed=True,
            shelved_until=2**62,
            out_of_service=True,
            command="boot/hot#1",
            revision="0123456789ab",
        ),
        DeviceChanged(2, "press", "bus", DeviceState.OFFLINE, "no answer"),
        CommandDone(3, "c-1", "p/t", "on", "rule:x", Outcome.REFUSED, "why not"),
        DataLost(4, 12, "quota"),
    ],
)
def test_events_come_back(event: AnyEvent) -> None:
    assert reopen(event_letter(event)) == event


SOUND = json.dumps(
    {
        "device": "d",
        "group": "g",
        "tag": "t",
        "type": "int8",
        "value": 3,
        "status": 0,
        "source_time": 1,
        "gateway_time": 1,
    }
)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"type":"int8"}', '{"type":"Nonsense"}', '{"type":"DataLost"}'])
def test_what_is_no_letter_is_said_to_be_none(content: str) -> None:
    with pytest.raises(ValueError):
        reopen(content.encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("value", 300),
        ("value", None),
        ("value", "3"),
        ("value", 3.5),
        ("value", True),
        ("type", "int9"),
        ("type", "string"),
        ("type", "bool"),
        ("status", -1),
        ("source_time", 10**20),
        ("gateway_time", 2**63),
    ],
)
def test_nothing_is_made_to_fit(key: str, value: object) -> None:
    assert isinstance(reopen(SOUND.encode()), Rows)
    with pytest.raises(ValueError):
        reopen(json.dumps(json.loads(SOUND) | {key: value}).encode())


@pytest.mark.parametrize("value", ["3", True, "infinite"])
def test_a_float_is_a_number(value: object) -> None:
    with pytest.raises(ValueError):
        reopen(json.dumps(json.loads(SOUND) | {"type": "float64", "value": value}).encode())
