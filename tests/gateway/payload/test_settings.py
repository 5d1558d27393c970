from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.payload.settings import GroupSettings


def group(**settings: Any) -> GroupSettings:
    return GroupSettings.model_validate({"tags": {"a": {"type": "int32"}}, **settings})


def test_where_a_value_stands_unless_it_is_said() -> None:
    assert group().path_of("a") == ("a",)
    assert group(tags={"a.b": {"type": "int32"}}).path_of("a.b") == ("a", "b")
    assert group(tags={"a.b": {"type": "int32", "path": "x[1]"}}).path_of("a.b") == ("x", 1)
    assert group(format="text").path_of("a") == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tags": {"a[": {"type": "int32"}}}, "the tag 'a\\[' needs a path of its own"),
        ({"tags": {"a": {"type": "int32", "path": "x."}}}, "cannot be read"),
        ({"time": {"path": "ts", "format": "local"}}, "unix_s"),
        ({"quality": {"path": "q", "good": []}}, "at least 1"),
        ({"format": "text", "time": {"path": "ts", "format": "unix_s"}}, "no room for a time"),
        ({"format": "text", "tags": {"a": {"type": "int32", "path": "x"}}}, "no room for"),
        ({"format": "text", "tags": {"a": {"type": "int32"}, "b": {"type": "int32"}}}, "holds one value"),
    ],
)
def test_mistakes(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        group(**settings)


def test_quality_words_keep_their_types() -> None:
    quality = group(quality={"path": "q", "good": ["good", 0, True, 1.5]}).quality
    assert quality is not None
    assert [type(word) for word in quality.good] == [str, int, bool, float]
