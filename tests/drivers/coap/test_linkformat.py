"""Lists of resources, as servers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap import resource
from drivers.coap.linkformat import MOST_RESOURCES, Resource, is_usable, parse

RFC6690_5 = (
    '</sensors>;ct=40;title="Sensor Index",\n</sensors/temp>;rt="temperature-c";if="sensor",\n'
    '</sensors/light>;rt="light-lux";if="sensor";obs,\n'
    '<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby",\n</t>;anchor="/sensors/temp"'
)


def test_the_example_of_the_standard() -> None:
    assert list(parse(RFC6690_5)) == [
        Resource("/sensors", kind="Sensor Index"),
        Resource("/sensors/temp", kind="temperature-c"),
        Resource("/sensors/light", is_observable=True, kind="light-lux"),
        Resource("/t"),
    ]


def test_quotes_hide_what_would_end_a_link() -> None:
    assert [each.path for each in parse('</a>;title="x,</b>;\\"y",</c>;obs=""')] == ["/a", "/c"]


def test_a_path_is_written_plainly() -> None:
    assert [each.path for each in parse("</a%20b>,</%C3%B6l>")] == ["/a b", "/öl"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "//h/a",
        "/a?b=1",
        "/a#b",
        "/a/../b",
        "/a//b",
        "/{device}",
        "/.well-known/core",
        "/a\nb",
        "/" + "x" * 300,
    ],
)
def test_what_cannot_be_named(path: str) -> None:
    assert not is_usable(path)


def test_it_stops_at_what_is_no_list_and_at_a_limit() -> None:
    assert [each.path for each in parse('</a>,<html>"</b>')] == ["/a"]
    assert len(list(parse(",".join(f"</r{i}>" for i in range(500))))) == MOST_RESOURCES


@given(st.text(alphabet=st.sampled_from('<>;,="\\ /ab%{}?\n'), max_size=80) | st.text())
def test_whatever_comes_only_usable_paths_come_out(text: str) -> None:
    for each in parse(text):
        assert resource.show(resource.fill(each.path, "d")) == each.path
