from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.mqtt.settings import GroupSettings, LinkSettings, TagSettings


def group(**settings: Any) -> GroupSettings:
    return GroupSettings.model_validate({"topic": "plant/{device}", "tags": {"a": {"type": "int32"}}, **settings})


def test_the_defaults() -> None:
    link = LinkSettings.model_validate({"driver": "mqtt", "host": "broker"})
    assert (link.port, link.version, link.keepalive, link.max_payload) == (1883, 5, 30_000_000_000, 1_048_576)
    assert group().qos == 1
    assert group().path_of("a") == ("a",)


def test_where_a_value_stands_unless_it_is_said() -> None:
    assert group(tags={"a.b": {"type": "int32"}}).path_of("a.b") == ("a", "b")
    assert group(tags={"a.b": {"type": "int32", "path": "x[1]"}}).path_of("a.b") == ("x", 1)
    assert group(topic="{device}/{tag}").path_of("a") == ()
    assert group(format="text").path_of("a") == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"topic": "a/#/b"}, "after #"),
        ({"qos": 2}, "0 or 1"),
        ({"tags": {"a[": {"type": "int32"}}}, "the tag 'a\\[' needs a path of its own"),
        ({"tags": {"a": {"type": "int32", "path": "x."}}}, "cannot be read"),
        ({"time": {"path": "ts", "format": "local"}}, "unix_s"),
        ({"quality": {"path": "q", "good": []}}, "at least 1"),
        ({"format": "text", "time": {"path": "ts", "format": "unix_s"}}, "no room for a time"),
        ({"format": "text", "tags": {"a": {"type": "int32"}, "b": {"type": "int32"}}}, "holds one value"),
        ({"tags": {"a": {"type": "int32", "writable": True}}}, "needs a command_topic"),
        ({"tags": {"a": {"type": "int32", "command_topic": "set/+"}}}, "must name one topic"),
    ],
)
def test_mistakes_in_a_group(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        group(**settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"password": {"env": "X"}}, "needs a username"),
        ({"version": 4}, "5 or '3.1.1'"),
        ({"keepalive": "100ms"}, "greater than or equal"),
        ({"tls": {"certificate": "a.crt"}}, "a certificate needs its key"),
        ({"host": ""}, "at least 1 character"),
        ({"max_packet": 10**9}, "less than or equal"),
    ],
)
def test_mistakes_in_a_link(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        LinkSettings.model_validate({"driver": "mqtt", "host": "broker", **settings})


def test_quality_words_keep_their_types() -> None:
    quality = group(quality={"path": "q", "good": ["good", 0, True, 1.5]}).quality
    assert quality is not None
    assert [type(word) for word in quality.good] == [str, int, bool, float]


def test_a_tag_that_is_only_read_needs_no_command_topic() -> None:
    assert TagSettings.model_validate({"type": "bool"}).command_topic is None
