"""Tags are changed in a text, and not a character beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import document
from gateway.patch import Change, apply
from gateway.problems import Report

KEYS = ("devices", "d", "groups", "g", "tags")

BLOCK = """\
# öne plant
devices:
  d:  # the press
    groups:
      g:
        interval: 1s
        tags:  # from the manual
          a: {address: holding:0, type: uint16}  # level
          # the second
          b:
            address: holding:1  # here
            type: uint16
            description: |
              of two
              lines

          # the last

    link: bus   # and so on
sinks: {}
"""
FLOW = "devices: {d: {groups: {g: {tags: {a: {type: uint16}, b: {type: bool}}}}}}  # all in one line\n"


def plain(text: str) -> object:
    report = Report()
    node = document.parse(text.encode(), "x.yaml", report)
    assert not list(report), text
    assert node is not None
    found = node.find(KEYS)
    assert found is not None
    return found.plain()


def change(tag: str, **body: object) -> Change:
    return Change(KEYS, tag, body)  # type: ignore[arg-type]


def test_one_tag_in_braces() -> None:
    after = apply(BLOCK, [change("a", address="holding:5", type="int16")])
    assert after == BLOCK.replace("{address: holding:0, type: uint16}", "{address: holding:5, type: int16}")


def test_one_tag_in_lines() -> None:
    after = apply(BLOCK, [change("b", type="bool")])
    assert plain(after) == {"a": {"address": "holding:0", "type": "uint16"}, "b": {"type": "bool"}}
    assert "          b: {type: bool}\n\n          # the last\n\n    link: bus   # and so on\n" in after
    assert after.startswith(BLOCK[: BLOCK.index("b:")])


def test_new_tags_go_below_the_last() -> None:
    after = apply(BLOCK, [change("c", type="bool"), change("d", type="bool")])
    added = "          c: {type: bool}\n          d: {type: bool}\n"
    assert after.replace(added, "") == BLOCK
    assert f"              lines\n{added}" in after


def test_changes_and_additions_together() -> None:
    after = apply(BLOCK, [change("b", type="bool"), change("c", type="bool"), change("a", type="bool")])
    assert plain(after) == {tag: {"type": "bool"} for tag in "abc"}


def test_in_one_line() -> None:
    after = apply(FLOW, [change("b", type="int8"), change("c", type="bool")])
    assert after == FLOW.replace("b: {type: bool}", "b: {type: int8}, c: {type: bool}")


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "  # c"])
def test_line_breaks_and_a_last_line_without_one(line_break: str, end: str) -> None:
    text = "devices:\n  d:\n    groups:\n      g:\n        tags:\n          a: {type: bool}" + end
    text = text.replace("\n", line_break)
    after = apply(text, [change("b", type="bool")])
    assert plain(after) == {tag: {"type": "bool"} for tag in "ab"}
    assert after.count("\n") == after.count(line_break)
    assert after.startswith(text.rstrip())


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"there are no entries at devices\.x"):
        apply(BLOCK, [Change(("devices", "x"), "a", {})])


NAMES = st.sampled_from(["a", "b", "c", "d.e", "true", "1"])
STYLES = st.sampled_from(
    [
        "{i}{k}: {{type: uint16, unit: °C}}  # ä\n",
        "{i}{k}:\n{i}  type: uint16\n{i}  unit: 'x # y'   # c\n",
        "{i}{k}: # first\n{i}  # second\n{i}  unit: >-\n{i}    folded\n{i}    text\n{i}  type: uint16\n\n",
        "{i}{k}: {{type: uint16,\n{i}  unit: x}}\n",
        "{i}{k}:\n{i}  unit:\n{i}  type: uint16 # z\n",
        "{i}# comment\n{i}{k}:\n{i}    type: uint16\n{i}    unit: |\n{i}      lit\n\n{i}      eral\n",
    ]
)


@given(
    st.dictionaries(NAMES, STYLES, min_size=1),
    st.dictionaries(NAMES, st.sampled_from(["bool", "string"]), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_layout(present: dict[str, str], wanted: dict[str, str], line_break: str) -> None:
    tags = "".join(style.format(i=" " * 10, k=f'"{name}"') for name, style in present.items())
    text = f"devices:\n  d:\n    groups:\n      g:\n        tags:\n{tags}    # end\n    link: x # y\nsinks: {{}}\n"
    text = text.replace("\n", line_break)
    before = plain(text)
    assert isinstance(before, dict)
    after = apply(text, [change(tag, type=kind) for tag, kind in wanted.items()])
    assert plain(after) == before | {tag: {"type": kind} for tag, kind in wanted.items()}
    assert after.endswith(f"    link: x # y{line_break}sinks: {{}}{line_break}")
