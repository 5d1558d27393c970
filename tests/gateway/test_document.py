"""YAML is read with places, and whatever is thrown at it comes out as a problem, never as another exception."""

from __future__ import annotations

import json
import math
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway import document
from gateway.document import parse, read
from gateway.problems import Place, Problem, Report
from gateway.scalar import resolve

SITE = """\
site: plant-1   # a comment
links:
  press-bus: {driver: modbus, host: 192.0.2.10}
include: [a.yaml,
          b.yaml]
"""


def problems(content: bytes) -> list[Problem]:
    report = Report()
    assert parse(content, "plant.yaml", report) is None
    return list(report)


def test_data_comes_out_plain() -> None:
    node = parse(SITE.encode(), "plant.yaml", Report())
    assert node is not None
    assert node.plain() == {
        "site": "plant-1",
        "links": {"press-bus": {"driver": "modbus", "host": "192.0.2.10"}},
        "include": ["a.yaml", "b.yaml"],
    }


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        (("site",), (1, 1), (1, 7)),
        (("links",), (2, 1), (3, 3)),
        (("links", "press-bus"), (3, 3), (3, 14)),
        (("links", "press-bus", "host"), (3, 31), (3, 37)),
        (("include", 1), None, (5, 11)),
    ],
)
def test_every_key_and_value_has_its_place(
    keys: tuple[str | int, ...], key: tuple[int, int] | None, value: tuple[int, int]
) -> None:
    node = parse(SITE.encode(), "plant.yaml", Report())
    found = node and node.find(keys)
    assert found is not None
    assert found.place == Place("plant.yaml", *value)
    assert found.key == (key and Place("plant.yaml", *key))


def test_a_place_counts_characters_and_not_bytes() -> None:
    node = parse('{unit: "°°°", type: bool}'.encode(), "plant.yaml", Report())
    assert node is not None
    assert node.members["type"].key == Place("plant.yaml", 1, 15)


def test_a_way_that_leads_nowhere_finds_nothing() -> None:
    node = parse(SITE.encode(), "plant.yaml", Report())
    assert node is not None
    assert node.find(("links", "other", "host")) is None
    assert node.find(("include", 2)) is None
    assert node.find(("site", "x")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-17", -17),
        ("+5", 5),
        ("0x1F", 31),
        ("0o17", 15),
        ("18446744073709551616", 2**64),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("012", "012"),
        ("-012.5", "-012.5"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("0b11", "0b11"),
        ("2024-01-01", "2024-01-01"),
        ("192.0.2.10", "192.0.2.10"),
        ("1e", "1e"),
        ("٣", "٣"),
        ("+", "+"),
        (".", "."),
        ("-", "-"),
    ],
)
def test_a_plain_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    resolved = resolve(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(float(str(resolve(".nan"))))


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 65, "0." + "1" * 5000, "1" * 5000])
def test_a_number_beyond_all_use_is_refused(text: str) -> None:
    (problem,) = problems(f"a: {text}".encode())
    assert (problem.line, problem.column) == (1, 4)
    assert "number" in problem.message


@pytest.mark.parametrize("text", ['"5"', "'true'", '"null"', "|-\n 5"])
def test_quoted_is_text(text: str) -> None:
    node = parse(f"a: {text}".encode(), "plant.yaml", Report())
    assert node is not None
    assert isinstance(node.members["a"].value, str)


def test_a_key_that_stands_twice_names_both_places_and_spoils_nothing_else() -> None:
    report = Report()
    node = parse(b"a: 1\nb: 2\na: 3\n", "plant.yaml", report)
    assert node is not None
    assert node.plain() == {"a": 1, "b": 2}
    (problem,) = report
    assert str(problem) == 'plant.yaml:3:1: the key "a" stands here a second time\n    the first is at plant.yaml:1:1'


def test_every_anchor_is_reported_and_its_aliases_are_not() -> None:
    found = problems(b"a: &x 1\nb: *x\nc: &y 2\nd: *z\n")
    assert [(problem.line, problem.column) for problem in found] == [(1, 4), (3, 4), (4, 4)]


def test_mistakes_are_not_collected_without_end() -> None:
    content = "".join(f"a{i}: !t 1\n" for i in range(1000))
    assert len(problems(content.encode())) == document.MAX_PROBLEMS + 1


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_depth_is_bounded_before_anything_is_built(opening: bytes) -> None:
    (problem,) = problems(b"a: \n  " + opening * 100_000)
    assert "deeper than 32" in problem.message or "a key is" in problem.message


def test_the_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_NODES", 1000)
    (problem,) = problems(b"a: [" + b"1," * 2000 + b"]")
    assert problem.message.startswith("more than 1000 values")


def test_size_is_bounded() -> None:
    (problem,) = problems(b"#" * (document.MAX_BYTES + 1))
    assert str(problem).startswith("plant.yaml: the file is larger than 8 MiB")


def test_a_byte_order_mark_is_taken_for_what_it_is() -> None:
    node = parse(b"\xef\xbb\xbfa: 1\n", "plant.yaml", Report())
    assert node is not None
    assert node.plain() == {"a": 1}


def test_a_file_that_is_none_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.yaml", tmp_path, Path("/dev/zero")):
        report = Report()
        assert read(path, report) is None
        assert [problem.message for problem in report] == ["there is no such file"]


# What YAML is made of, so that a random text is often nearly a document.
MORSELS = [
    *"[]{},:-?&*!|>'\"%@`#~ \n\t\\",
    "a",
    "b: ",
    "- ",
    "1",
    "1e9",
    "&x ",
    "*x",
    "!!int ",
    "---\n",
    "...\n",
    "<<: ",
    "\n  ",
]
MORSELS += ["%YAML 1.2\n", "\\x00", "\\ud800", "\u2028", "\x85", "\ufeff", "\x00", "\r", "°", "\U0001f600", "0" * 70]


NEARLY_YAML = st.lists(st.sampled_from(MORSELS), max_size=24).map("".join).map(str.encode)


@hypothesis.settings(deadline=None)
@given(st.binary(max_size=64) | NEARLY_YAML)
def test_whatever_comes_is_a_document_or_a_problem(content: bytes) -> None:
    report = Report()
    node = parse(content, "plant.yaml", report)
    assert node is not None or len(report) > 0
    breaks = sum(content.count(each.encode()) for each in ("\n", "\r", "\x85", "\u2028", "\u2029"))
    assert all(0 <= problem.line <= breaks + 2 for problem in report)  # the end of the text may be a line of its own


@hypothesis.settings(deadline=None)
@given(NEARLY_YAML)
def test_whatever_comes_to_the_parser_in_python_is_a_document_or_a_problem(content: bytes) -> None:
    report = Report()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "CSafeLoader", yaml.SafeLoader)
        node = parse(content, "plant.yaml", report)
    assert node is not None or len(report) > 0


TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)
NUMBERS = st.integers(-(2**200), 2**200) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=16,
)


@hypothesis.settings(deadline=None)
@given(DATA)
def test_json_is_yaml_and_reads_the_same(value: object) -> None:
    content = json.dumps({"value": value}, ensure_ascii=False).encode()
    node = parse(content, "plant.yaml", Report())
    assert node is not None
    assert node.plain() == {"value": value}
