from __future__ import annotations

from typing import Any

import pytest

from gateway.payload import path
from gateway.payload.path import MISSING

DOCUMENT: dict[str, Any] = {"a": {"b": [{"c": 1}, None]}, "d.e": 2, "text": "abc", "0": 3}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ("[1][2].x", (1, 2, "x")),
        ('"d.e".f', ("d.e", "f")),
        ("bearing temperature", ("bearing temperature",)),
        ("0", ("0",)),
    ],
)
def test_what_a_path_is(text: str, steps: path.Path) -> None:
    assert path.parse(text) == steps


@pytest.mark.parametrize("text", [".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a.[0]", 'a"b"', '""', '"a', "[0]a"])
def test_what_a_path_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be read after"):
        path.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b[0].c", 1),
        ("a.b[1]", None),
        ('"d.e"', 2),
        ("0", 3),
        ("", DOCUMENT),
        ("a.b[2]", MISSING),
        ("a.x", MISSING),
        ("a[0]", MISSING),
        ("a.b.c", MISSING),
        ("text[0]", MISSING),
        ("text.x", MISSING),
        ("a.b[1].c", MISSING),
        ("[0]", MISSING),
    ],
)
def test_what_stands_at_a_path(text: str, found: object) -> None:
    assert path.find(DOCUMENT, path.parse(text)) is found
