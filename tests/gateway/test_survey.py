"""What a device says becomes names and remarks, and nothing else."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.site import NAME
from gateway.survey import MOST_NAME, MOST_REMARK, Names, as_name, remark, shown


@given(st.lists(st.text(max_size=100), max_size=30))
def test_every_text_makes_a_name_and_each_only_once(texts: list[str]) -> None:
    names = Names()
    taken = [names.take(text, "device") for text in texts]
    assert len(set(taken)) == len(texts)
    assert all(re.match(NAME, name) and len(name) <= MOST_NAME + 4 for name in taken)


def test_a_name_keeps_what_it_can() -> None:
    assert as_name("Pumpe Süd / 2") == "Pumpe-Sud-2"
    assert as_name("..bearing.temperature") == "bearing.temperature"
    assert as_name("§$%") == ""


def test_names_that_are_taken_get_the_next_choice_or_a_number() -> None:
    names = Names()
    assert [names.take("level", "tank.level") for _ in range(4)] == ["level", "tank.level", "level-2", "level-3"]
    assert not names.take_exactly("level")
    assert not names.take_exactly("le vel")
    assert names.take_exactly("flow")
    assert names.take("", "?") == "unnamed-2"


@given(st.text())
def test_a_remark_is_one_short_line_without_controls(text: str) -> None:
    line = remark(text)
    assert len(line) <= MOST_REMARK
    assert line.isprintable()
    assert line.encode().decode() == line


def test_what_would_turn_text_round_or_end_a_line_is_gone() -> None:
    assert remark("a\nsite: evil\r\u2028b\u202ec\x1b[31m\x85d") == "a site: evil b c [31m d"
    assert shown(True) == "true"
    assert shown(0.1 + 0.2) == "0.3"
    assert shown("x" * 100) == "x" * 39 + "…"
