from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap import resource


@pytest.mark.parametrize(
    ("template", "segments"),
    [
        ("/", ()),
        ("/time", ("time",)),
        ("/plant/{device}/{tag}", ("plant", "pump-1", "level")),
        ("/a-{device}.json", ("a-pump-1.json",)),
        ("/with space/ü", ("with space", "ü")),
    ],
)
def test_what_a_path_is(template: str, segments: resource.Segments) -> None:
    resource.check_template(template)
    assert resource.fill(template, "pump-1", "level") == segments


@pytest.mark.parametrize(
    "template",
    ["", "time", "//", "/a/", "/a/../b", "/.", "/a?b=c", "/a#b", "/{unit}", "/x{tag}", "/" + "a" * 256, "/a" * 33],
)
def test_what_a_path_is_not(template: str) -> None:
    with pytest.raises(ValueError, match="path"):
        resource.check_template(template)


def test_a_name_that_would_change_the_levels() -> None:
    with pytest.raises(ValueError, match="cannot be a level"):
        resource.fill("/plant/{device}", "a/b")


def test_a_resource_that_is_read_names_no_tag() -> None:
    with pytest.raises(ValueError, match=r"only \{device\}"):
        resource.check_template("/x/{tag}", tag=False)
    assert resource.names_tag("/x/{tag}/y")
    assert not resource.names_tag("/x/{device}")


@given(st.text("ab/{}?.", max_size=12))
def test_whatever_is_written_is_a_path_or_a_mistake(text: str) -> None:
    try:
        resource.check_template(text)
    except ValueError:
        return
    segments = resource.fill(text, "d", "t")
    assert resource.show(segments).count("/") == max(1, len(segments))
