from __future__ import annotations

import pytest

from simulators.demo.scene import Scene
from simulators.demo.view import Lines, choose
from tests.simulators.demo.test_picture import scene


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with choose() as view:
        assert isinstance(view, Lines)
        view.show(scene([]))
    written = capsys.readouterr().out
    assert "The cloud is cut off." in written
    assert "waiting   7,900" in written
    assert "\x1b" not in written


def test_what_happened_is_told_once_and_the_figures_from_time_to_time(capsys: pytest.CaptureFixture[str]) -> None:
    view, shown = Lines(), Scene(12.0)
    shown.tell("It begins.")
    for _ in range(3):
        view.show(shown)
    assert capsys.readouterr().out == "   0.0 s  It begins.\n"
    moving = scene([])
    lines = Lines()
    for step in range(61):
        moving.elapsed = step / 2
        lines.show(moving)
    assert capsys.readouterr().out.count("taken in") == 13
