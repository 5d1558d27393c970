from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt import topic

NAMES = {"site": "plant-1", "device": "press-1"}


@pytest.mark.parametrize("text", ["a", "a/b", "/a", "a/", "//", "+", "#", "a/+/b", "a/#", "+/+/#", "$SYS/#", "ä b/c"])
def test_what_is_a_filter(text: str) -> None:
    topic.check_filter(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "at least one character"),
        ("a\0b", "null character"),
        ("a" * 65_536, "65535 bytes"),
        ("ä" * 32_768, "65535 bytes"),
        ("a+/b", "stand alone"),
        ("a/b#", "stand alone"),
        ("##", "stand alone"),
        ("a/#/b", "goes on after #"),
        ("$share/group/a", "shared subscription"),
    ],
)
def test_what_is_no_filter(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        topic.check_filter(text)


@pytest.mark.parametrize("name", ["a/+", "#", ""])
def test_a_command_goes_to_one_topic(name: str) -> None:
    with pytest.raises(ValueError):
        topic.check_name(name)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("press-1", "press-1"),
        ("a/b", "a／b"),
        ("+", "＋"),
        ("tank #1", "tank ＃1"),
        ("a\0b", "a␀b"),
        ("two\nlines", "two␊lines"),
        ("\ud800", "\ufffd"),
        ("Kühler 7", "Kühler 7"),
    ],
)
def test_a_name_cannot_do_harm_in_a_topic(name: str, level: str) -> None:
    assert topic.fill("plant/{device}", {"device": name}) == f"plant/{level}"


@given(st.text(st.characters(), min_size=1, max_size=20))
def test_whatever_a_name_is_it_stays_within_its_level(name: str) -> None:
    filled = topic.fill("plant/{device}/state", {"device": name})
    topic.check_name(filled)
    assert filled.count("/") == 2


def test_templates_are_filled_once() -> None:
    assert topic.fill("a/{site}-{device}", {"site": "{device}", "device": "x"}) == "a/{device}-x"


def test_a_name_does_not_lead_into_what_is_the_brokers_own() -> None:
    assert topic.fill("{site}/x", {"site": "$SYS"}) == "＄SYS/x"
    assert topic.fill("$aws/rules/{site}", {"site": "$SYS"}) == "$aws/rules/$SYS"


def test_a_placeholder_that_nobody_knows() -> None:
    topic.check_placeholders("a/{site}/{device}", NAMES)
    with pytest.raises(ValueError, match=r"only {site}, {device} are known"):
        topic.check_placeholders("a/{tag}", NAMES)
