from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gateway.bus import Bus, Outcome, mark_unreal
from gateway.clock import ManualClock
from gateway.image import Image
from gateway.model import AnyEvent, Command, DataLost, RuleFailed, Scan, StatusCode
from tests.gateway.build import NOW, group, scan

of = group("float64", "float32", "uint16")


class Keeper:
    def __init__(self) -> None:
        self.kept: list[object] = []

    def append(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        self.kept.append(scan)

    def follow(self, durable: Callable[[], None]) -> None:
        self.kept.append(durable)

    def record(self, event: AnyEvent) -> None:
        self.kept.append(event)


class Judge:
    """Says what it was told to say, and sees to it that the image is up to date before it is asked."""

    def __init__(self) -> None:
        self.answers: list[Outcome] = []
        self.broken = False

    def judge(self, scan: Scan, now: int, monotonic: int) -> Sequence[Outcome]:
        if self.broken:
            raise ZeroDivisionError
        return self.answers


@pytest.fixture
def parts() -> tuple[Bus, Image, Judge, Keeper]:
    image, judge, keeper = Image([of]), Judge(), Keeper()
    return Bus(ManualClock(), image, judge, keeper), image, judge, keeper


def test_a_command_leaves_before_publish_returns(parts: tuple[Bus, Image, Judge, Keeper]) -> None:
    bus, image, judge, keeper = parts
    command, event = Command("c", "press/t0", 0.0, "rule:r", 0), DataLost(NOW, 1, "")
    judge.answers = [command, event]
    given: list[Command] = []
    bus.obey = given.append
    row = scan(of, [1, 2, 3])
    bus.publish(row)
    assert given == [command]
    assert keeper.kept == [event, row]
    assert image.read("press/t0", 0).value == 3.0


def test_failing_rules_cost_no_value_and_are_told_once(
    parts: tuple[Bus, Image, Judge, Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    bus, _, judge, keeper = parts
    judge.broken = True
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            bus.publish(scan(of, [1, 2, 3]))
    assert len(keeper.kept) == 3
    assert len(caplog.records) == 1


def test_a_rule_that_failed_is_told_and_the_others_are_heard(
    parts: tuple[Bus, Image, Judge, Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    bus, _, judge, keeper = parts
    event = DataLost(NOW, 1, "")
    judge.answers = [RuleFailed("hot", ZeroDivisionError()), RuleFailed("dry", ZeroDivisionError()), event]
    row = scan(of, [1, 2, 3])
    bus.publish(row)
    assert keeper.kept == [event, row]
    assert bus.faults == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "rule hot failed, and is judged no more" in caplog.text
    assert "rule dry failed, and is judged no more" in caplog.text


def test_nan_and_infinities_are_bad_before_anybody_judges_them() -> None:
    row = scan(of, [1, 2, 3])
    assert [tag.type.value for tag in of.columns] == ["uint16", "float32", "float64"]
    row.values[1][0] = np.float32("nan")
    row.values[2][0] = np.inf
    mark_unreal(row)
    assert row.status is not None
    assert row.status.tolist() == [0, StatusCode.BAD_OUT_OF_RANGE, StatusCode.BAD_OUT_OF_RANGE]


def test_a_status_that_is_bad_already_is_kept() -> None:
    row = scan(of, [1, 2, 3], status=np.array([0, 0, StatusCode.BAD_TIMEOUT], np.uint32))
    row.values[2][0] = np.nan
    mark_unreal(row)
    assert row.status is not None
    assert row.status[2] == StatusCode.BAD_TIMEOUT


def test_from_one_generation_to_the_next(parts: tuple[Bus, Image, Judge, Keeper]) -> None:
    bus, before, old, keeper = parts
    after, new = Image([of]), Judge()
    old.answers, new.answers = [DataLost(NOW, 1, "old")], [DataLost(NOW, 1, "new")]
    bus.serve(after, new)
    bus.publish(scan(of, [1, 2, 3]))
    assert keeper.kept[0] == DataLost(NOW, 1, "new")
    assert after.read("press/t0", NOW).value == 3.0
    assert before.read("press/t0", NOW).value is None
