"""Shapes as lines of a configuration."""

from __future__ import annotations

import pytest

from gateway.model import ValueType
from gateway.payload.outline import source, tags, text_type
from gateway.payload.shape import learn
from gateway.survey import Line, Names

NOW = 1_800_000_000_000_000_000


def test_a_path_is_given_only_where_the_name_does_not_say_it() -> None:
    found = learn([{"ts": 1_790_000_000, "bearing": {"temperature": 71.5}, "axes": [7], "a b": True}], NOW)
    part = tags(found, Names(), "state")
    assert part.plain() == {
        "bearing.temperature": {"type": "float64"},
        "axes.0": {"path": "axes[0]", "type": "float64"},
        "a-b": {"path": "a b", "type": "bool"},
    }
    assert [line.remark for line in part.entries.values() if isinstance(line, Line)] == ["71.5", "7", "true"]
    assert source(found) == {"time": Line({"path": "ts", "format": "unix_s"})}


def test_names_are_unique_over_the_groups_of_a_device() -> None:
    names = Names()
    found = learn([{"level": 1}], NOW)
    assert list(tags(found, names, "one").entries) == ["level"]
    assert tags(found, names, "two").plain() == {"two.level": {"path": "level", "type": "float64"}}


def test_a_document_that_is_one_value_is_called_like_its_group() -> None:
    assert tags(learn([23.5], NOW), Names(), "temperature").plain() == {"temperature": {"path": "", "type": "float64"}}


@pytest.mark.parametrize(
    ("payload", "type_"),
    [
        (b"71.5", ValueType.FLOAT64),
        (b" -3 ", ValueType.FLOAT64),
        (b"1e5", ValueType.FLOAT64),
        (b"TRUE", ValueType.BOOL),
        (b"open", ValueType.STRING),
        (b"", None),
        (b"\xff", None),
        (b"a\nb", None),
        (b"9" * 500, None),
    ],
)
def test_plain_text(payload: bytes, type_: ValueType | None) -> None:
    assert text_type(payload) is type_
