"""Where a character of a text stands in its file, however YAML has it written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import document
from gateway.problems import Report


def found(text: str, wanted: str) -> str:
    """What stands in the file where the value of `key` has `wanted`, as far as it is the same."""
    report = Report()
    root = document.parse(text.encode(), "plant.yaml", report)
    assert root is not None, list(report)
    node = root.members["key"]
    assert isinstance(node.value, str)
    place = node.at(node.value.index(wanted))
    return text.split("\n")[place.line - 1][place.column - 1 :][: len(wanted)]


@pytest.mark.parametrize(
    "text",
    [
        "key: one two three",
        "key:   one two three # more",
        "key: one\n  two\n\n  three",
        "{key: one two three}",
        "key: 'one two three'",
        "key: 'it''s ''one'' two three'",
        "key: 'one\n\n  two three'",
        'key: "one two three"',
        'key: "one \\"two\\" \\\\ three"',
        'key: "\\u00e9 \\x41\\U0001f4a5 one \\u0020 \\t\\n two \\\n   three"',
        "key: |\n  one\n    two\n\n  three\n",
        "key: |-\n\n  one two\n  three",
        "key: >\n  one two\n\n  three\n",
        "key: >2-\n   one\n  two three\nmore: three",
    ],
)
def test_every_word_is_found(text: str) -> None:
    assert [found(text, word) for word in ("one", "two", "three")] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("key: one two", 1, 13),
        ("key: 'one two'", 1, 14),
        ('key: "one two  "', 1, 14),
        ("key: |\n  one\n  two\n", 3, 6),
        ('key: ""', 1, 6),
        ("key: ''\n", 1, 6),
    ],
)
def test_the_end_is_behind_the_last_character(text: str, line: int, column: int) -> None:
    root = document.parse(text.encode(), "plant.yaml", Report())
    assert root is not None
    node = root.members["key"]
    assert isinstance(node.value, str)
    assert node.at(len(node.value))[1:] == (line, column)


@given(st.text(st.sampled_from("ab '\"\\\n\té\u00a0"), min_size=1, max_size=30), st.data())
def test_every_visible_character_of_a_quoted_text_is_found(value: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(value) - 1))
    if value[at].isspace():
        return
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    text = 'key: "' + "".join(escapes.get(each, each) for each in value) + '"'
    root = document.parse(text.encode(), "plant.yaml", Report())
    assert root is not None
    node = root.members["key"]
    assert node.value == value
    place = node.at(at)
    assert text[place.column - 1 :].startswith(escapes.get(value[at], value[at]))
