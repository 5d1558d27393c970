"""What is not as promised is said, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulators.demo.account import Account
from simulators.demo.course import Result
from simulators.demo.door import SinkStatus, Status
from simulators.demo.incident import SECOND, Cause, Isolation, Outage
from simulators.demo.summary import Summary
from tests.simulators.demo.logs import commanded, logs

OUTAGE = Outage(10 * SECOND, 20 * SECOND)
ISOLATION = Isolation("bearing-hot", 12 * SECOND, Cause("pump-1/bearing.temperature", 80.1, 12 * SECOND - 5_000_000))
PROTOCOLS = {"modbus": 100, "mqtt": 100, "opcua": 60, "coap": 36}
GOOD = Account(PROTOCOLS, doubtful=4, events=3, lost=0, wrong=0, duplicates=0, examples=())


def summary(account: Account = GOOD, pending: int = 0, isolations: tuple[Isolation, ...] = (ISOLATION,)) -> Summary:
    sink = SinkStatus("cloud", True, 302 + pending, 302, pending, 0, 0, None)
    events = [commanded(time * SECOND, "user:root") for time in (1, 2, 40)]  # the last one after the gateway's account
    result = Result(30.0, Status(35 * SECOND, [], [], [sink], []), OUTAGE, 180, logs(*events))
    return Summary(result, account, list(isolations))


def test_the_figures_have_the_names_that_others_look_for() -> None:
    assert summary().figures() == {
        "ingested": 302,
        "delivered": 302,
        "pending": 0,
        "dead_letters": 0,
        "dropped": 0,
        "duplicates": 0,
        "lost": 0,
        "wrong": 0,
        "protocols": PROTOCOLS,
        "outage_s": 10.0,
        "peak_backlog": 180,
        "drain_s": 0.0,
        "isolations": 1,
    }


def test_the_words_say_what_stopped_the_pump_and_how_fast() -> None:
    text = " ".join(summary().words())
    assert "100 over Modbus, 100 over MQTT, 60 over OPC UA, 36 over CoAP, and 3 events beside them" in text
    assert "80.1" in text
    assert "5 ms later the rule bearing-hot had stopped the pump over Modbus. The cloud was away meanwhile." in text
    late = replace(ISOLATION, stopped_ns=21 * SECOND, cause=None)
    assert "The rule bearing-hot stopped pump 1." in " ".join(summary(isolations=(late,)).words())


def test_a_demo_that_went_well_has_no_problems() -> None:
    assert list(summary().problems()) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (summary(replace(GOOD, lost=2)), "2 points are lost"),
        (summary(replace(GOOD, wrong=1, examples=("flow is 3",))), "flow is 3"),
        (summary(replace(GOOD, duplicates=1)), "1 points are there twice"),
        (summary(replace(GOOD, doubtful=3)), "302 points, and 301 have arrived"),
        (summary(replace(GOOD, protocols=PROTOCOLS | {"modbus": 99})), "302 points, and 301 have arrived"),
        (summary(replace(GOOD, protocols=PROTOCOLS | {"coap": 0, "opcua": 96})), "one of the protocols"),
        (summary(pending=4), "4 points are pending"),
        (summary(isolations=()), "no rule has stopped the pump"),
    ],
)
def test_what_is_not_as_promised_is_a_problem(wrong: Summary, words: str) -> None:
    assert words in " ".join(wrong.problems())
