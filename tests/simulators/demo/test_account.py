"""Every way in which a point can go astray is seen, and nothing else is."""

from __future__ import annotations

import struct

import pytest

from simulators.demo.account import Account, settle
from simulators.demo.record import Reply
from tests.simulators.demo.logs import MS, Field, Line, commanded, logs, message, reply, report, row, update

SENT = message(1000, sequence=7, flow=50.25, rpm=2950, running=True)
WHOLE: dict[str, Field] = {
    "sequence": ("integer", 7),
    "flow": ("float", 50.25),
    "rpm": ("integer", 2950),
    "running": ("boolean", True),
}


def count(*lines: Line) -> tuple[int, int, int]:
    """Lost, wrong, duplicates."""
    account = settle(logs(*lines))
    return account.lost, account.wrong, account.duplicates


def test_all_that_was_sent_has_arrived() -> None:
    served = reply(5, sequence=3, rpm=2949)
    taken = row(9, "pump-station", sequence=("integer", 3), rpm=("integer", 2949))
    fetched, reported = update(7_000, 1, rpm=2948, flow=50.5), report(2, 5, flow=1.5)
    there = [
        row(7_000, "booster", sequence=("integer", 1), rpm=("integer", 2948), flow=("float", 50.5)),
        row(2 * MS, "well", sequence=("integer", 5), flow=("float", 1.5)),
        commanded(4, "rule:bearing-hot"),
    ]
    account = settle(logs(SENT, served, fetched, reported, row(1000 * MS, **WHOLE), taken, *there))
    protocols = {"modbus": 2, "mqtt": 4, "opcua": 3, "coap": 2}
    assert account == Account(protocols, doubtful=0, events=1, lost=0, wrong=0, duplicates=0, examples=())


def test_what_did_not_arrive_is_lost_point_by_point() -> None:
    part = {name: WHOLE[name] for name in ("sequence", "rpm")}
    account = settle(logs(SENT, row(1000 * MS, **part)))
    assert (account.lost, account.wrong, account.protocols["mqtt"]) == (2, 0, 2)
    assert "flow of pump-1 1000000000 is lost" in account.examples


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("flow", ("float", 50.250000000000007)),  # one bit beside it
        ("flow", ("integer", 50)),
        ("rpm", ("float", 2950.0)),
        ("rpm", ("unsigned", 2950)),
        ("running", ("integer", 1)),
        ("running", ("boolean", False)),
        ("sequence", ("integer", 8)),
    ],
)
def test_another_value_or_another_type_is_wrong_but_not_lost(name: str, field: Field) -> None:
    assert count(SENT, row(1000 * MS, **(WHOLE | {name: field}))) == (0, 1, 0)


def test_what_nobody_sent_is_wrong() -> None:
    assert count(SENT, row(1000 * MS, **WHOLE, other=("float", 1.0))) == (0, 1, 0)
    assert count(SENT, row(1000 * MS, **WHOLE), row(1001 * MS, flow=("float", 50.25))) == (0, 1, 0)
    assert count(row(1000 * MS, "pump-9", flow=("float", 50.25))) == (0, 1, 0)
    assert count(row(9, "pump-station", nothing=("float", 1.0))) == (0, 1, 0)


def test_a_mark_on_a_value_that_was_good_is_wrong() -> None:
    assert count(SENT, row(1000 * MS, **WHOLE, flow__q=("integer", 0x8000_0000))) == (0, 1, 0)


def test_the_same_once_more_is_a_duplicate_and_another_value_is_not() -> None:
    taken = row(1000 * MS, **WHOLE)
    assert count(SENT, taken, row(1000 * MS, flow=("float", 50.25))) == (0, 0, 1)
    assert count(SENT, taken, row(1000 * MS, flow=("float", 50.5))) == (0, 1, 0)


def test_an_event_that_comes_again_is_a_duplicate() -> None:
    event = commanded(4, "rule:bearing-hot")
    account = settle(logs(event, event))
    assert (account.events, account.duplicates) == (1, 2)


def test_a_reply_that_stands_at_two_times_is_wrong_the_second_time() -> None:
    served = reply(5, sequence=3)
    first, second = (row(time, "pump-station", sequence=("integer", 3)) for time in (9, 10))
    assert count(served, first, second) == (0, 1, 0)


def test_what_may_or_may_not_have_arrived_counts_neither_way_unless_it_is_wrong() -> None:
    doubtful = message(1000, sequence=7, reason=None, flow=50.25)
    assert count(doubtful) == (0, 0, 0)
    account = settle(logs(doubtful, row(1000 * MS, flow=("float", 50.25))))
    assert (account.wrong, account.protocols["mqtt"], account.doubtful) == (0, 0, 1)
    assert count(doubtful, row(1000 * MS, flow=("float", 50.5))) == (0, 1, 0)


@pytest.mark.parametrize("reason", [16, 135])
def test_what_the_broker_gave_to_nobody_is_not_missed_and_must_not_appear(reason: int) -> None:
    refused = message(1000, reason=reason, flow=50.25)
    assert count(refused) == (0, 0, 0)
    assert count(refused, row(1000 * MS, flow=("float", 50.25))) == (0, 1, 0)


def test_an_update_is_known_by_its_microsecond() -> None:
    fetched = update(1_700_000_000_000_007_000, sequence=2, flow=50.25)
    taken: dict[str, Field] = {"sequence": ("integer", 2), "flow": ("float", 50.25)}
    assert count(fetched, row(1_700_000_000_000_007_000, "booster", **taken)) == (0, 0, 0)
    assert count(fetched, row(1_700_000_000_000_006_000, "booster", **taken)) == (2, 2, 0)
    assert count(fetched) == (2, 0, 0)


@pytest.mark.parametrize(("code", "absent", "present"), [("2.04", 2, 0), (None, 0, 0), ("4.00", 0, 2), ("5.03", 0, 2)])
def test_only_what_the_gateway_has_confirmed_must_be_there(code: str | None, absent: int, present: int) -> None:
    reported = report(1000, sequence=7, code=code, flow=50.25)
    taken = row(1000 * MS, "well", sequence=("integer", 7), flow=("float", 50.25))
    assert count(reported) == (absent, 0, 0)
    assert count(reported, taken) == (0, present, 0)


def test_devices_are_counted_apart() -> None:
    taken = row(1000 * MS, "well", sequence=("integer", 7))
    assert count(message(1000, sequence=7), taken) == (1, 1, 0)
    assert count(update(1000 * MS, sequence=7), taken) == (1, 1, 0)


def test_a_float32_is_compared_as_one_and_a_float64_is_not() -> None:
    (single,) = struct.unpack("f", struct.pack("f", 50.06))
    served = reply(5, sequence=3, flow=single)
    taken: dict[str, Field] = {"sequence": ("integer", 3), "flow": ("float", 50.06)}
    assert count(served, row(9, "pump-station", **taken)) == (0, 0, 0)
    assert count(served, row(9, "pump-station", **(taken | {"flow": ("float", 50.06001)}))) == (0, 1, 0)
    assert count(served, row(9, "pump-station", **(taken | {"flow": ("float", 1e300)}))) == (0, 1, 0)
    assert count(message(1, 1, flow=single), row(MS, sequence=("integer", 1), flow=("float", 50.06))) == (0, 1, 0)


def test_a_uint64_is_unsigned_at_the_cloud() -> None:
    served = reply(5, sequence=3, clock=1_700_000_000_000)
    for kind, wrong in (("unsigned", 0), ("integer", 1)):
        taken = row(9, "pump-station", sequence=("integer", 3), clock=(kind, 1_700_000_000_000))
        assert count(served, taken) == (0, wrong, 0)


def test_a_table_without_a_sequence_is_matched_by_the_last_reply_before_the_row() -> None:
    served = [reply(time, None, "coil", run=run) for time, run in ((10, True), (20, False), (30, True))]
    taken = [row(time, "pump-station", run=("boolean", run)) for time, run in ((11, True), (29, False))]
    assert count(*served, *taken) == (1, 0, 0)
    assert count(*served, *taken, row(30, "pump-station", run=("boolean", True))) == (0, 0, 0)
    assert count(served[0], row(9, "pump-station", run=("boolean", True))) == (1, 1, 0)


def test_tables_are_counted_apart() -> None:
    served = [reply(10, None, "coil", run=True), reply(20, None, "discrete", running=True, failed=False)]
    taken = [
        row(21, "pump-station", running=("boolean", True), failed=("boolean", False)),
        row(22, "pump-station", run=("boolean", True)),
    ]
    assert count(*served, *taken) == (0, 0, 0)


def test_a_write_is_no_point() -> None:
    assert count(Reply(5, write="run", value=False)) == (0, 0, 0)
