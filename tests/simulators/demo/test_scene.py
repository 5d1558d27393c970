from __future__ import annotations

import pytest

from simulators.demo.door import SinkStatus, Status
from simulators.demo.scene import Scene


def seen(elapsed: float, pending: int, oldest_s: float | None, online: bool = True) -> Scene:
    scene = Scene(30.0, elapsed, cut_at=7.5, restored_at=18.0)
    sink = SinkStatus("cloud", online, 100, 100 - pending, pending, 0, 0, oldest_s)
    scene.sample(Status(0, [], [], [sink], []))
    return scene


@pytest.mark.parametrize(
    ("pending", "oldest_s", "online", "caught_up"),
    [
        (0, None, True, True),
        (10, 0.5, True, True),  # live values, which always wait a little
        (10, 2.5, True, False),
        (10, None, True, False),  # nobody knows how old they are
        (0, None, False, False),
    ],
)
def test_the_cloud_has_caught_up_when_nothing_waits_from_before(
    pending: int, oldest_s: float | None, online: bool, caught_up: bool
) -> None:
    assert seen(20.0, pending, oldest_s, online).has_caught_up() is caught_up


def test_there_is_nothing_to_catch_up_with_before_the_cloud_is_back() -> None:
    scene = seen(20.0, 0, None)
    scene.restored_at = None
    assert not scene.has_caught_up()


def test_the_outage_has_a_beginning_and_an_end() -> None:
    scene = Scene(30.0, cut_at=7.5)
    assert [scene.was_cut(moment) for moment in (7.0, 7.5, 29.0)] == [False, True, True]
    scene.restored_at = 18.0
    assert [scene.was_cut(moment) for moment in (17.0, 19.0)] == [True, False]
