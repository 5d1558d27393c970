"""Documents that were seen, as tags with paths, types and a time."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND
from gateway.model import ValueType
from gateway.payload import path
from gateway.payload.shape import MOST_LEAVES, Time, learn, spell

NOW = 1_800_000_000 * SECOND


def types(*documents: object) -> dict[str, str]:
    return {leaf.path: leaf.type.value for leaf in learn(documents, NOW).leaves}


def test_each_value_has_a_path_and_a_type() -> None:
    document = {"bearing": {"temperature": 71.5}, "on": True, "axes": [{"load": 1}, {"load": 2}], "mode": "auto"}
    assert types(document) == {
        "bearing.temperature": "float64",
        "on": "bool",
        "axes[0].load": "float64",
        "axes[1].load": "float64",
        "mode": "string",
    }


def test_a_whole_number_is_exact_in_the_type_that_it_gets() -> None:
    assert types({"a": 2**53, "b": 2**53 + 1, "c": -(2**63), "d": 2**64 - 1}) == {
        "a": "float64",
        "b": "int64",
        "c": "int64",
        "d": "uint64",
    }
    assert types({"a": 2**64}) == {}
    assert types({"a": 2**60}, {"a": 0.5}) == {"a": "float64"}


def test_several_documents_are_put_together_and_what_disagrees_is_left_out() -> None:
    found = learn([{"a": None, "b": 1}, {"a": 2, "b": "x"}], NOW)
    assert [(leaf.path, leaf.type, leaf.example) for leaf in found.leaves] == [("a", ValueType.FLOAT64, 2)]
    assert found.left_out == 1


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (1_790_000_000, "unix_s"),
        (1_790_000_000.25, "unix_s"),
        (1_790_000_000_123, "unix_ms"),
        (1_790_000_000_123_456, "unix_us"),
        (1_790_000_000_123_456_789, "unix_ns"),
        ("2026-09-21T12:00:00Z", "iso8601"),
    ],
)
def test_the_time_is_found_with_its_unit(value: object, form: str) -> None:
    found = learn([{"Timestamp": value, "level": 1}], NOW)
    assert found.time == Time("Timestamp", form)  # type: ignore[arg-type]
    assert [leaf.path for leaf in found.leaves] == ["level"]


def test_what_is_only_called_a_time_is_a_value() -> None:
    found = learn([{"time": 12.5, "ts": "noon", "head": {"ts": 1_790_000_000}}], NOW)
    assert found.time == Time("head.ts", "unix_s")
    assert [leaf.path for leaf in found.leaves] == ["time", "ts"]
    assert learn([{"ts": 1_790_000_000}, {"ts": 5}], NOW).time is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


@given(JSON)
def test_every_path_leads_to_its_example(document: object) -> None:
    found = learn([document], NOW)
    assert len(found.leaves) <= MOST_LEAVES
    for leaf in found.leaves:
        assert path.find(document, path.parse(leaf.path)) == leaf.example


def test_much_of_it_is_cut() -> None:
    assert len(types({f"k{i}": i for i in range(1000)})) == MOST_LEAVES
    deep: object = 1
    for _ in range(100):
        deep = {"a": deep}
    assert types(deep) == {}
    assert types({"wave": list(range(1000)), "a": 1}) == {"a": "float64"}


def test_a_key_that_no_path_can_name_is_left_out() -> None:
    document = msgspec.json.decode(json.dumps({'a"b': 1, "": 2, "a.b": 3, "c\n": 4, "d[0]": 5, "x" * 500: 6}))
    assert types(document) == {'"a.b"': "float64", '"d[0]"': "float64"}
    assert spell(("a", 'q"')) is None
