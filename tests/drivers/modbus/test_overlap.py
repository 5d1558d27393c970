from __future__ import annotations

from typing import Any

import pytest

from drivers.modbus import check
from tests.drivers.modbus.device import group_of, link_of

FLOAT = {"type": "float32"}
WORD = {"type": "uint16"}
BIT = {"type": "bool"}


@pytest.mark.parametrize(
    ("tags", "bad"),
    [
        ({"a": {"address": "holding:0"} | FLOAT, "b": {"address": "holding:2"} | FLOAT}, []),
        ({"a": {"address": "holding:0"} | FLOAT, "b": {"address": "holding:1"} | WORD}, ["press/b"]),
        ({"a": {"address": "holding:0"} | FLOAT, "b": {"address": "input:0"} | FLOAT}, []),
        ({"a": {"address": "holding:0.1"} | BIT, "b": {"address": "holding:0.2"} | BIT}, []),
        ({"a": {"address": "holding:0.1"} | BIT, "b": {"address": "holding:0.1"} | BIT}, ["press/b"]),
        ({"a": {"address": "holding:0"} | WORD, "b": {"address": "holding:0.15"} | BIT}, ["press/b"]),
        ({"a": {"address": "coil:3"} | BIT, "b": {"address": "coil:4"} | BIT}, []),
        ({"a": {"address": "coil:3"} | BIT, "b": {"address": "coil:3"} | BIT}, ["press/b"]),
        (
            {
                "long": {"address": "holding:0", "type": "string", "length": 20},
                "a": {"address": "holding:1"} | WORD,
                "b": {"address": "holding:9"} | WORD,
            },
            ["press/a", "press/b"],
        ),
    ],
)
def test_tags_on_the_same_registers_are_found(tags: dict[str, Any], bad: list[str]) -> None:
    assert [tag for tag, _ in check(link_of(1, group_of(tags)))] == bad


def test_the_problem_names_the_other_tag() -> None:
    tags = {"a": {"address": "coil:3"} | BIT, "b": {"address": "coil:3"} | BIT}
    assert dict(check(link_of(1, group_of(tags)))) == {"press/b": "lies on the same address as press/a"}


def test_two_devices_share_registers_only_if_they_are_one_unit() -> None:
    groups = [group_of({"a": {"address": "holding:0"} | WORD}, device) for device in ("press", "pump")]
    assert list(check(link_of(1, *groups))) == []
    assert [tag for tag, _ in check(link_of(1, *groups, unit=5))] == ["pump/a"]
