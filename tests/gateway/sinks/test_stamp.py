from __future__ import annotations

from dataclasses import replace

from gateway.model import DataLost, Rows, ValueType
from gateway.sinks._json import event_messages, row_messages
from gateway.sinks._stamp import stamp
from tests.gateway.sinks.samples import START, UNCERTAIN, rows

PLACE = {"site": "plant-1", "cell": "line-a"}
X = {"x": ValueType.FLOAT64}


def ids(batch: Rows) -> list[str]:
    return [stamp(message, **PLACE) for message in row_messages([batch], PLACE)]


def test_a_row_that_its_source_delivers_again_is_no_other() -> None:
    once = rows(X, (1.5,))
    again = replace(once, gateway_time=once.gateway_time + 10**9)
    assert ids(once) == ids(again)


def test_whatever_else_differs_makes_another_id() -> None:
    different = [
        rows(X, (1.5,)),
        rows(X, (2.5,)),
        rows(X, (1.5,), times=[START + 1]),
        rows(X, (1.5,), status=[[UNCERTAIN]]),
        rows(X, (1.5,), device="press-2"),
        rows(X, (1.5,), group="slow"),
        rows({"y": ValueType.FLOAT64}, (1.5,)),
    ]
    found = [id for batch in different for id in ids(batch)]
    found += [stamp(message, "plant-2", "line-a") for message in row_messages(different[:1], PLACE)]
    assert len(set(found)) == len(found) == 8


def test_events_have_ids_of_their_own() -> None:
    events = [DataLost(START, 5, "quota"), DataLost(START, 6, "quota")]
    first, second = [stamp(message, **PLACE) for message in event_messages(events, PLACE)]
    assert first != second
