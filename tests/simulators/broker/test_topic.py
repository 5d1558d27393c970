from __future__ import annotations

import pytest

from simulators.broker.packet import Reason
from simulators.broker.topic import flaw, matches


@pytest.mark.parametrize(
    ("pattern", "topic", "taken"),
    [  # MQTT 5.0, 4.7.1 and 4.7.2
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sports", False),
        ("#", "sport", True),
        ("#", "/", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("a/+/c", "a/b/c", True),
        ("a/b", "A/b", False),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
    ],
)
def test_matches(pattern: str, topic: str, taken: bool) -> None:
    assert matches(pattern, topic) is taken


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "a/b+", "+a", "##"])
def test_an_unsound_filter(pattern: str) -> None:
    assert flaw(pattern) is Reason.FILTER_INVALID


def test_a_sound_filter_and_a_shared_one() -> None:
    assert flaw("a/+/#") is None
    assert flaw("$share/group/a") is Reason.SHARED_NOT_SUPPORTED
