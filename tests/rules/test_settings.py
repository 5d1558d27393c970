from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.model import Tag, Value, ValueType
from rules.settings import RuleSettings, WriteSettings
from tests.rules.plant import SECOND, rule

TAGS = {
    tag.id: tag
    for tag in (
        Tag("press/run", ValueType.BOOL, writable=True),
        Tag("press/speed", ValueType.INT16, range=(0, 3000), writable=True),
        Tag("press/level", ValueType.FLOAT32, writable=True),
        Tag("press/recipe", ValueType.STRING, writable=True),
        Tag("press/count", ValueType.UINT64),
    )
}


def test_what_the_configuration_says() -> None:
    written = {"on_delay": "2s", "priority": "high", "message": "hot", "write": {"tag": "press/run", "value": False}}
    settings = RuleSettings.model_validate(written)
    assert settings.on_delay == 2 * SECOND
    assert settings.write == WriteSettings(tag="press/run", value=False)
    assert settings.write.expires_after == 10 * SECOND


@pytest.mark.parametrize("value", [False, True, 0, 1, 2**63, 1.0, 0.1, "1", "off"])
def test_a_value_stays_what_was_written(value: Value) -> None:
    kept = WriteSettings(tag="press/run", value=value).value
    assert kept == value
    assert type(kept) is type(value)


@pytest.mark.parametrize("value", [None, [1], {"on": True}, float("nan"), float("inf")])
def test_a_value_that_cannot_be_written_is_told_once(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        WriteSettings.model_validate({"tag": "press/run", "value": value})
    assert [error["loc"] for error in caught.value.errors()] == [("value",)]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("press/run", False),
        ("press/speed", 3000),
        ("press/level", 1),
        ("press/level", 0.1),
        ("press/recipe", "steel"),
    ],
)
def test_what_suits_its_tag(tag: str, value: Value) -> None:
    assert WriteSettings(tag=tag, value=value).problem(TAGS) is None


@pytest.mark.parametrize(
    ("tag", "value", "problem"),
    [
        ("press/rum", False, "there is no tag press/rum"),
        ("press/count", 1, "press/count is not writable"),
        ("press/run", 0, "0 is not a value of press/run, which is bool"),
        ("press/speed", False, "False is not a value of press/speed, which is int16 from 0 to 3000"),
        ("press/speed", 3001, "3001 is not a value of press/speed"),
        ("press/speed", 1.0, "1.0 is not a value of press/speed"),
        ("press/speed", "stop", "'stop' is not a value of press/speed"),
        ("press/level", 1e39, "1e+39 is not a value of press/level, which is float32"),
        ("press/recipe", 7, "7 is not a value of press/recipe, which is string"),
    ],
)
def test_what_does_not_suit_its_tag(tag: str, value: Value, problem: str) -> None:
    found = WriteSettings(tag=tag, value=value).problem(TAGS)
    assert found is not None
    assert found.startswith(problem)


def test_a_rule_tells_of_its_condition_and_of_its_write() -> None:
    write = {"tag": "press/run", "value": 1}
    assert rule("a", {"tag": "press/speed", "high": 2000}).problem(TAGS) is None
    assert rule("b", {"tag": "press/spede", "high": 2000}).problem(TAGS) == "there is no tag press/spede"
    assert "is not a value of press/run" in str(rule("c", {"tag": "press/speed", "high": 1}, write=write).problem(TAGS))
