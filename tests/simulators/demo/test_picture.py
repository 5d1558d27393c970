"""The picture fits, and its charts stand on one axis of time."""

from __future__ import annotations

import pytest

from simulators.demo.account import PROTOCOLS
from simulators.demo.door import AlarmEntry, DeviceStatus, LinkStatus, SinkStatus, Status, TagReading
from simulators.demo.incident import COMMAND
from simulators.demo.picture import bar, columns, draw
from simulators.demo.scene import TAGS, Scene

ALARMS = [
    AlarmEntry("flow-low", "pump-station/flow", "unacknowledged", True, "medium", "Nothing flows into the tank"),
    AlarmEntry("bearing-hot", "pump-1/bearing.temperature", "returned", False, "critical", "The bearing is hot"),
]


def status(time: int, delivered: int, pending: int, alarms: list[AlarmEntry]) -> Status:
    sink = SinkStatus("cloud", pending == 0, delivered + pending, delivered, pending, 0, 0, None)
    links = [LinkStatus(name, name, name != "mqtt") for name in PROTOCOLS]
    devices = [DeviceStatus(f"{name}-1", name, "online", 5, 480.0) for name in PROTOCOLS]
    return Status(time, links, devices, [sink], alarms)


def scene(alarms: list[AlarmEntry]) -> Scene:
    made = Scene(30.0, cut_at=7.5)
    made.tell("The cloud is cut off. " * 20)
    for step in range(120):
        made.elapsed = step / 5
        made.read([TagReading(tag, float(step)) for tag in TAGS] + [TagReading(COMMAND, step < 70)])
        made.sample(status(step * 200_000_000, min(step, 40) * 100, max(0, step - 40) * 100, alarms))
    return made


@pytest.mark.parametrize("shown", [Scene(30.0), scene([]), scene(ALARMS), scene(ALARMS * 5)], ids=lambda _: "")
@pytest.mark.parametrize("size", [(80, 24), (100, 30), (20, 5), (200, 60)], ids=str)
def test_the_picture_fits_the_terminal(shown: Scene, size: tuple[int, int]) -> None:
    width, height = size
    lines = draw(shown, width, height).plain.split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_nothing_is_cut_off_in_the_usual_terminal() -> None:
    text = draw(scene([*ALARMS, ALARMS[0]]), 80, 24).plain
    assert "…" not in text
    for part in ("24 of 30 s", "pump 1 bearing", "119.0 °C", "stopped", "7,900", "cloud is away"):
        assert part in text
    for protocol in PROTOCOLS:
        assert f"{protocol} 480 /s" in text
    assert text.index("The bearing is hot") < text.index("Nothing flows into the tank")


def test_a_column_holds_the_highest_sample_of_its_time() -> None:
    assert columns([(-1, 1), (0.4, 2), (1.0, 3), (9.9, 4), (12, 5)], 10, 10) == [2, 3, 3, 3, 3, 3, 3, 3, 3, 5]
    assert columns([(0, 5), (0.5, 9), (0.6, 2), (3, 1)], 10, 10) == [9, 9, 9, 1]
    assert columns([], 10, 10) == []
    assert columns([(5.0, 1)], 10, 10) == [1]


def test_a_bar_stays_within_its_eight_heights() -> None:
    assert [bar(value, 0, 70) for value in (-1, 0, 34, 70, 1e9)] == ["▁", "▁", "▄", "█", "█"]
    assert bar(5, 3, 3) == "▁"
