from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from drivers.mqtt import topic
from drivers.mqtt.topic import Router


@pytest.mark.parametrize(
    ("template", "reason"),
    [("a/{dev}", "only {device} and {tag}"), ("a/x{tag}", "stands alone in its level"), ("a/#/{tag}", "after #")],
)
def test_what_is_no_template(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        topic.check_template(template)


def test_templates_are_filled_once() -> None:
    assert topic.fill("plant/{device}/{tag}/+", "press-1", "oil.pressure") == "plant/press-1/oil.pressure/+"
    assert topic.fill("line-{device}/x", "7") == "line-7/x"
    assert topic.fill("{device}/{tag}", "{tag}", "x") == "{tag}/x"


@pytest.mark.parametrize("name", ["a/b", "+", "#", "a\0"])
def test_a_name_must_not_add_levels_or_wildcards(name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand for"):
        topic.fill("plant/{device}", name)


@pytest.mark.parametrize(
    ("name", "routes"),
    [
        ("a/b", {"a/b", "a/+", "a/#", "#", "+/b"}),
        ("a", {"a/#", "#"}),
        ("a/b/c", {"a/#", "#"}),
        ("$SYS/b", {"$SYS/#"}),
        ("/b", {"#", "+/b"}),
        ("a/+", set()),
        ("a/#", set()),
    ],
)
def test_which_filters_take_a_topic(name: str, routes: set[str]) -> None:
    filters = ["a/b", "a/+", "a/#", "#", "+/b", "$SYS/#"]
    assert set(Router((text, text) for text in filters).find(name)) == routes


LEVELS = st.sampled_from(["", "a", "b", "$x", "+"])
FILTERS = st.tuples(st.lists(LEVELS, min_size=1, max_size=4), st.booleans()).map(
    lambda parts: "/".join(parts[0] + ["#"] * parts[1])
)
NAMES = st.lists(st.sampled_from(["", "a", "b", "$x"]), min_size=1, max_size=5).map("/".join)


@given(st.lists(FILTERS, max_size=6), NAMES)
def test_the_router_agrees_with_one_comparison_a_filter(filters: list[str], name: str) -> None:
    filters = [text for text in filters if text]
    router = Router((text, i) for i, text in enumerate(filters))
    # paho's own comparison is the other opinion; it lets an empty name pass, which no message may have.
    expected = [i for i, text in enumerate(filters) if name and topic_matches_sub(text, name)]
    assert sorted(router.find(name)) == expected
    assert sorted(router.find(name)) == expected, "remembered"


def test_invented_topics_do_not_fill_the_memory() -> None:
    router = Router([("+/state", "wild"), ("exact/state", "exact")])
    for n in range(topic.MAX_CACHED + 100):
        assert router.find(f"{n}/state") == ("wild",)
    assert router.find("x" * 60_000 + "/state") == ("wild",)
    assert router._cached.cache_info().currsize == topic.MAX_CACHED
    assert set(router.find("exact/state")) == {"wild", "exact"}
