"""What `rules/README.md` says of the language is what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.model import Tag, Value, ValueType
from rules.expression import build, parse, settle

GIVEN: dict[Tag, Value | None] = {
    Tag("press-1/oil.pressure", ValueType.FLOAT32, "bar"): 2.0,
    Tag("press-1/oil.setpoint", ValueType.FLOAT64, "bar"): 3.0,
    Tag("press-1/cycle", ValueType.UINT16, "ms"): 4500,
    Tag("press-1/count", ValueType.UINT32): 0,
    Tag("press-1/running", ValueType.BOOL): True,
    Tag("press-1/mode", ValueType.STRING): "auto",
    Tag("press-1/lost", ValueType.INT16): None,
}
TAGS = {tag.id: tag for tag in GIVEN}
SLOTS = {tag.id: slot for slot, tag in enumerate(GIVEN)}
README = Path(__file__).parents[3] / "rules" / "README.md"
ROWS = re.findall(r"^\| `(.+)` \| (true|false|unknown) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_an_example(text: str, expected: str) -> None:
    evaluate = build(settle(parse(text).tree, TAGS)[0], SLOTS)
    assert evaluate(list(GIVEN.values())) is {"true": True, "false": False, "unknown": None}[expected]


def test_the_rule_at_the_top_is_one() -> None:
    text = README.read_text(encoding="utf-8")
    for key in ("when", "until"):
        found = re.search(rf"^    {key}: (.+?) +#", text, re.MULTILINE)
        assert found is not None
        settle(parse(found[1]).tree, TAGS)
