from __future__ import annotations

import logging

import pytest

from gateway.clock import SECOND
from gateway.notice import Notices, Throttle

log = logging.getLogger("test")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_told_once_when_it_starts_and_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    for now in range(5):
        notices.begin("topic a", "no JSON", now)
    notices.end("topic a", 6)
    notices.end("topic a", 7)
    assert told(caplog) == ["topic a: no JSON", "topic a: over, after 5 times: no JSON"]
    assert notices.total == 5


def test_what_stops_happening_is_over_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    notices.begin("a", "x", 0)
    notices.expire(60 * SECOND)
    assert len(told(caplog)) == 1
    notices.expire(61 * SECOND)
    assert len(told(caplog)) == 2


def test_what_lasts_is_over_only_when_somebody_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A bad value of a group that is read once an hour."""
    notices = Notices(log)
    for hour in range(3):
        notices.begin("slow quality", "bad", hour * 3600 * SECOND, lasting=True)
        notices.expire(hour * 3600 * SECOND + 1800 * SECOND)
    assert told(caplog) == ["slow quality: bad"]
    notices.end("slow quality", 4 * 3600 * SECOND)
    assert len(told(caplog)) == 2


def test_what_flutters_is_told_once_a_minute_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """A group that is fed by two topics, one of them bad."""
    notices = Notices(log)
    for second in range(600):
        notices.begin("group", "no JSON", second * SECOND)
        notices.end("group", second * SECOND + 1)
        notices.expire(second * SECOND + 2)
    assert len(told(caplog)) <= 22


def test_what_comes_back_and_stays_is_told(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    notices.begin("link", "down", 0)
    notices.end("link", 10 * SECOND)
    for second in range(20, 120):
        notices.begin("link", "down", second * SECOND)
        notices.expire(second * SECOND)
    assert told(caplog)[2:] == ["link: down"]


def test_a_flood_of_different_troubles_is_counted_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    for number in range(5000):
        notices.begin(f"topic {number}", "unknown", number)
    assert notices.total == 5000
    assert len(told(caplog)) == 1000


def test_another_fault_under_the_same_key_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    for number, text in enumerate(["no JSON", "too large", "no JSON", "too large"]):
        notices.begin("topic", text, number)
        notices.end("topic", number)
    assert [line for line in told(caplog) if "over" not in line] == ["topic: no JSON", "topic: too large"]


def test_a_text_that_is_always_another_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices(log)
    for number in range(1000):
        notices.begin("topic", f"no JSON at byte {number}", number)
    assert len(told(caplog)) == 8


def test_what_happens_now_and_then_is_always_told(caplog: pytest.LogCaptureFixture) -> None:
    throttle = Throttle(log)
    for number in range(8):
        throttle.tell("alarm a", f"time {number}", number * SECOND)
    assert len(told(caplog)) == 8


def test_a_chattering_alarm_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    throttle = Throttle(log)
    for number in range(6000):
        throttle.tell("alarm a", "alarm a is back", number * SECOND // 100)
    assert len(told(caplog)) <= 18
    silent = sum(int(line.split("(and ")[1].split()[0]) for line in told(caplog) if "(and" in line)
    assert silent + len(told(caplog)) > 5000
