"""What is written is read back exactly, by our reader of YAML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import document, flow
from gateway.problems import Report
from gateway.survey import Plain

# A control character may not stand in a configuration, and nobody writes one: names and remarks have none.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
SCALARS = st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10
)


def read(text: str) -> object:
    report = Report()
    node = document.parse(f"key: {text}\n".encode(), "x.yaml", report)
    assert not list(report), text
    assert node is not None
    value = node.child("key")
    assert value is not None
    return value.plain()


@given(VALUES)
def test_round_trip(value: Plain) -> None:
    found = read(flow.write(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "No",
        "null",
        "~",
        "12",
        "0x1F",
        "1e5",
        ".5",
        "a: b",
        "a #b",
        "- a",
        "[a",
        "a,b",
        "x:",
        "\u2028",
        "\ufeff",
    ],
)
def test_text_that_could_be_something_else_is_quoted(text: str) -> None:
    assert flow.write(text).startswith('"')
    assert read(flow.write(text)) == text


@pytest.mark.parametrize(
    "text", ["holding:100", "°C", "mm/s", "opc.tcp://192.0.2.1:4840", "1s", "127.0.0.1", "unix_ms"]
)
def test_text_that_is_only_text_is_bare(text: str) -> None:
    assert flow.write({"key": text}) == f"{{key: {text}}}"
