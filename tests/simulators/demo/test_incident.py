"""Who stopped the pump and how fast, and how long the cloud took to catch up."""

from __future__ import annotations

import pytest

from simulators.demo.incident import SECOND, Cause, Outage, isolations
from simulators.demo.record import Reply
from tests.simulators.demo.logs import MS, commanded, logs, message, raised, row

BEARING = "pump-1/bearing.temperature"


def stop(time_ns: int) -> Reply:
    return Reply(time_ns, write="run", value=False)


def test_a_stop_that_a_rule_ordered_is_an_isolation_with_its_cause() -> None:
    found = isolations(
        logs(
            message(990, bearing__temperature=80.1),
            message(1000, bearing__temperature=80.1),
            message(1100, bearing__temperature=80.1),
            stop(1004 * MS),
            raised(1003 * MS, "bearing-hot", BEARING, 80.1),
            commanded(1005 * MS, "rule:bearing-hot"),
        )
    )
    (isolation,) = found
    assert isolation.cause == Cause(BEARING, 80.1, 1000 * MS)
    assert (isolation.rule, isolation.stopped_ns) == ("bearing-hot", 1004 * MS)
    assert isolation.reaction_s == pytest.approx(0.004)


def test_both_the_machine_and_the_gateway_must_say_so() -> None:
    assert isolations(logs(stop(4))) == []
    assert isolations(logs(commanded(5, "rule:bearing-hot"))) == []
    assert isolations(logs(stop(6), commanded(5, "rule:bearing-hot"))) == []
    assert isolations(logs(stop(4), commanded(5, "user:root"))) == []
    assert isolations(logs(stop(4), commanded(5, "rule:bearing-hot", done=False))) == []
    assert isolations(logs(Reply(4, write="run", value=True), commanded(5, "rule:bearing-hot"))) == []


def test_each_stop_belongs_to_one_report() -> None:
    reports = [commanded(time, "rule:bearing-hot") for time in (5, 15, 25)]
    assert [found.stopped_ns for found in isolations(logs(stop(4), stop(14), *reports))] == [4, 14]


def test_without_an_alarm_nobody_knows_how_fast_it_was() -> None:
    (isolation,) = isolations(logs(stop(4), commanded(5, "rule:bearing-hot")))
    assert (isolation.cause, isolation.reaction_s) == (None, None)


def test_an_outage_is_over_when_the_last_value_from_before_its_end_is_there() -> None:
    outage = Outage(10 * SECOND, 20 * SECOND)
    rows = [
        row(9 * SECOND, "pump-1", 9 * SECOND),
        row(21 * SECOND, "pump-1", 22 * SECOND),  # live values come first
        row(12 * SECOND, "pump-1", 23 * SECOND),
        row(19 * SECOND, "pump-1", 24 * SECOND),
        row(29 * SECOND, "pump-1", 29 * SECOND),
    ]
    assert (outage.seconds, outage.noticed_s(rows), outage.drain_s(rows)) == (10.0, 2.0, 4.0)
    assert outage.drain_s(rows[:2]) == 0.0
