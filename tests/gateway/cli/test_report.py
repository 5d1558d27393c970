"""The report of a drill: what is not as promised is said, each thing by itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gateway.cli import report
from gateway.cli.report import Result
from gateway.inquiry import Account, SampleReply

SECONDS = 60.0
RATE = 100


def account(at: float) -> Account:
    """Cut off for a minute, then drained within five seconds."""
    came = round(at * RATE)
    delivered = 0 if at <= SECONDS else min(came, round((at - SECONDS) * RATE * 14))
    is_drained = delivered == came
    return Account(
        sink="cloud",
        online=at > SECONDS,
        reason="",
        ingested=came,
        delivered=delivered,
        pending=came - delivered,
        dead_letters=0,
        dropped=0,
        behind=0 if is_drained else 10,
        live_s=0.4 if at > SECONDS else None,
        drained_s=5.0 if is_drained and at > SECONDS else None,
    )


def sample(at: float) -> SampleReply:
    return SampleReply(
        at=at,
        phase="outage" if at <= SECONDS else "recovery",
        accounts=(account(at),),
        points=round(at * RATE),
        written=round(at * RATE),
        waiting=3,
        lag_s=0.001,
        resident_bytes=100 << 20,
        journal_bytes=round(at * 1000),
        failure="",
        fresh_s=0.2,
        lost_devices=(),
    )


SAMPLES = [sample(float(at)) for at in range(66)]

Change = Callable[[SampleReply], SampleReply]


def broken(result: Result) -> list[str]:
    return [promise.name for promise in result.promises if not promise.kept]


def with_account(**changes: object) -> Change:
    return lambda one: msgspec.structs.replace(one, accounts=(msgspec.structs.replace(one.accounts[0], **changes),))


def with_sample(**changes: object) -> Change:
    return lambda one: msgspec.structs.replace(one, **changes)


def test_all_is_as_promised() -> None:
    result = report.judge(SAMPLES, SECONDS, is_over=True)
    assert broken(result) == []
    assert result.is_passed
    (sink,) = result.sinks
    assert (sink.peak, sink.live_s, sink.drained_s, sink.rate) == (6000, 0.4, 5.0, 1300.0)
    text = report.markdown(result, SAMPLES, "2026-11-23 08:15:00 UTC")
    assert text.count("| PASS |") == 9
    assert "up to 6,000" in text
    assert len(next(line for line in text.splitlines() if "▁" in line).split()[1]) <= 60


@pytest.mark.parametrize(
    ("at", "change", "promise"),
    [
        (30, with_account(delivered=5, pending=2995), "the sinks were cut off"),
        (30, with_account(pending=1), "every account balances"),
        (65, with_account(dropped=1, delivered=6499), "nothing is dropped"),
        (30, with_sample(lag_s=0.4), "alarms are judged at once"),
        (30, with_sample(failure="No space left on device"), "what comes in is on disk"),
        (30, with_sample(lost_devices=("press-1",)), "devices notice nothing"),
        (30, with_sample(resident_bytes=200 << 20), "an outage costs disk, not memory"),
        (65, with_account(live_s=7.0), "live values come first"),
        (65, with_account(live_s=None), "live values come first"),
        (65, with_account(drained_s=None), "the backlog arrives"),
    ],
)
def test_what_is_not(at: int, change: Change, promise: str) -> None:
    changed = [change(one) if one.at >= at else one for one in SAMPLES]
    if promise == "the sinks were cut off":
        changed = [change(one) if at <= one.at <= SECONDS else one for one in SAMPLES]
    result = report.judge(changed, SECONDS, is_over=True)
    assert promise in broken(result)
    assert set(broken(result)) <= {promise, "every account balances"}
    assert f"| {promise} | **FAIL** |" in report.markdown(result, changed, "today")


def test_commits_that_stand_still() -> None:
    stuck = [with_sample(written=2000)(one) if 20 <= one.at <= 27 else one for one in SAMPLES]
    assert broken(report.judge(stuck, SECONDS, is_over=True)) == ["what comes in is on disk"]
    idle = [with_sample(written=2000, waiting=0)(one) if 20 <= one.at <= 27 else one for one in SAMPLES]
    assert broken(report.judge(idle, SECONDS, is_over=True)) == []


def test_interrupted() -> None:
    result = report.judge(SAMPLES[:30], SECONDS, is_over=False)
    assert broken(result) == ["the sinks were cut off", "live values come first", "the backlog arrives"]


def test_nothing_came_in() -> None:
    quiet = [
        with_account(ingested=0, delivered=0, pending=0, live_s=None)(with_sample(written=0, waiting=0)(one))
        for one in SAMPLES
    ]
    assert broken(report.judge(quiet, SECONDS, is_over=True)) == []


def test_a_single_look() -> None:
    assert not report.judge(SAMPLES[:1], SECONDS, is_over=False).is_passed
