"""Topics that were heard, as devices, groups and tags."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt import census
from drivers.mqtt.census import Census, take
from gateway import draft
from gateway.clock import SECOND
from gateway.settings import load
from gateway.survey import Line, Part, Survey

NOW = 1_800_000_000 * SECOND


def heard(**topics: bytes) -> Census:
    return take({topic.replace("__", "/"): [payload] for topic, payload in topics.items()}, "broker", NOW)


def plain(found: Census) -> Mapping[str, object]:
    return Part(found.devices).plain()


def test_a_document_is_a_group_of_the_device_above_it() -> None:
    found = heard(plant__pump1__state=b'{"ts": 1790000000123, "bearing": {"temperature": 71.5}}')
    assert plain(found) == {
        "pump1": {
            "link": "broker",
            "groups": {
                "state": {
                    "topic": "plant/{device}/state",
                    "time": {"path": "ts", "format": "unix_ms"},
                    "tags": {"bearing.temperature": {"type": "float64"}},
                }
            },
        }
    }


def test_devices_of_one_kind_become_a_template_at_whatever_level_they_differ() -> None:
    found = take(
        {f"hall/pump-{i}/drive/state": [b'{"speed": %d}' % i] for i in range(3)}
        | {"hall/meter/state": [b'{"kwh": 1}']},
        "broker",
        NOW,
    )
    assert plain(found)["pump-2"] == {"template": "pump"}
    assert Part(found.templates).plain() == {
        "pump": {
            "link": "broker",
            "groups": {"drive.state": {"topic": "hall/{device}/drive/state", "tags": {"speed": {"type": "float64"}}}},
        }
    }
    assert "groups" in plain(found)["meter"]  # type: ignore[operator]


def test_plain_values_are_tags_that_their_topic_names() -> None:
    found = take({"m1/temp": [b"71.5"], "m1/run": [b"true"], "m1/mode": [b'"auto"']}, "broker", NOW)
    assert plain(found) == {
        "m1": {
            "link": "broker",
            "groups": {
                "values": {"topic": "{device}/{tag}", "tags": {"mode": {"type": "string"}}},
                "values-2": {
                    "topic": "{device}/{tag}",
                    "format": "text",
                    "tags": {"run": {"type": "bool"}, "temp": {"type": "float64"}},
                },
            },
        }
    }


def test_a_level_that_is_no_name_keeps_its_topic() -> None:
    found = take({"hall/Pumpe 1/Öl druck": [b"3"]}, "broker", NOW)
    assert plain(found) == {
        "Pumpe-1": {
            "link": "broker",
            "groups": {
                "Ol-druck": {
                    "topic": "hall/Pumpe 1/Öl druck",
                    "format": "text",
                    "tags": {"Ol-druck": {"type": "float64"}},
                }
            },
        }
    }


def test_topics_that_nothing_can_be_made_of_are_named() -> None:
    found = take({"a/{device}/b": [b"1"], "photo": [b"\xff\xd8"], "empty": [b"{}"], "ok/a": [b"1"]}, "broker", NOW)
    assert list(found.devices) == ["ok"]
    assert found.left_out == ["a/{device}/b", "empty", "photo"]


def test_the_values_are_remarks() -> None:
    found = heard(m1__temp=b"71.5")
    line = found.devices["m1"]
    for key in ("groups", "values", "tags", "temp"):
        assert isinstance(line, Part)
        line = line.entries[key]
    assert isinstance(line, Line)
    assert line.remark == "71.5"


def test_no_more_tags_than_a_configuration_should_begin_with() -> None:
    found = take({f"d{i}/state": [b'{"a": 1, "b": 2}'] for i in range(census.MOST_TAGS)}, "broker", NOW)
    assert len(found.devices) == census.MOST_TAGS // 2
    assert len(found.left_out) == census.MOST_TAGS // 2


LEVELS = st.sampled_from(["", "plant", "pump-1", "pump-2", "state", "a b", "true", "0x1", "é", "x" * 80, "$x", "{y}"])
TOPICS = st.lists(LEVELS | st.text(max_size=5), min_size=1, max_size=5).map("/".join)
PAYLOADS = st.sampled_from(
    [b"1", b"true", b"open", b'"auto"', b"\xff", b"{}", b"[1, 2]", b'{"a": 1}', b'{"a b": {"ts": 1790000000}, "ts": 1}']
) | st.binary(max_size=10)


@given(st.dictionaries(TOPICS, st.lists(PAYLOADS, min_size=1, max_size=3), max_size=12))
def test_whatever_is_published_the_configuration_is_good(topics: dict[str, list[bytes]]) -> None:
    found = take(topics, "broker", NOW)
    if not found.devices:
        return
    links = Part({"broker": Line({"driver": "mqtt", "host": "h"})})
    survey = Survey(links, Part(found.devices), Part(found.templates), tuple(found.left_out))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeward.yaml"
        path.write_text(draft.write(survey), encoding="utf-8")
        load(path)
