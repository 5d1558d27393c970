from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.modbus import DeviceSettings, LinkSettings, TagSettings
from gateway.clock import MILLISECOND, SECOND


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ({"address": "holding:1", "type": "uint8"}, "use int16 or uint16"),
        ({"address": "holding:1", "type": "int16", "raw": "int8"}, "use int16 or uint16"),
        ({"address": "coil:1", "type": "uint16"}, "its type is bool"),
        ({"address": "holding:1", "type": "bool"}, "holding:1.0"),
        ({"address": "holding:1.3", "type": "uint16"}, "its type is bool"),
        ({"address": "holding:1", "type": "string"}, "length: 16"),
        ({"address": "holding:1", "type": "int16", "length": 2}, "only a string"),
        ({"address": "holding:1", "type": "string", "length": 4, "order": "CDAB"}, "BADC"),
        ({"address": "holding:65535", "type": "float32"}, "reach beyond"),
        ({"address": "holding:1", "type": "float32", "scale": 0}, "scale of 0"),
        ({"address": "holding:1", "type": "int16", "scale": 0.1}, "float32 or float64"),
        ({"address": "coil:1", "type": "bool", "scale": 2}, "float32 or float64"),
        ({"address": "holding:1", "type": "float32", "raw": "int32"}, "without loss"),
        ({"address": "holding:1", "type": "int16", "raw": "float32"}, "without loss"),
        ({"address": "coil:1", "type": "int16", "raw": "bool"}, "does not become"),
        ({"address": "holding:1", "type": "string", "raw": "int16"}, "does not become"),
        ({"address": "input:1", "type": "int16", "writable": True}, "only coil and holding"),
        ({"address": "discrete:1", "type": "bool", "writable": True}, "only coil and holding"),
        ({"address": "holding:1.2", "type": "bool", "writable": True}, "neighbours"),
        ({"address": "holding:1", "type": "string", "length": 248, "writable": True}, "123 registers"),
        ({"address": "40001", "type": "int16"}, "holding:0"),
        ({"address": "holding:1", "type": "float32", "scale": float("nan")}, "finite"),
    ],
)
def test_a_tag_that_cannot_work_is_refused_with_a_hint(tag: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TagSettings.model_validate(tag)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "count"),
    [
        ({"address": "coil:1", "type": "bool"}, 1),
        ({"address": "holding:1.4", "type": "bool"}, 1),
        ({"address": "holding:1", "type": "float64"}, 4),
        ({"address": "holding:1", "type": "float32", "raw": "int16", "scale": 0.1}, 1),
        ({"address": "holding:1", "type": "float64", "raw": "int32"}, 2),
        ({"address": "holding:1", "type": "string", "length": 15}, 8),
        ({"address": "holding:65535", "type": "uint16", "writable": True}, 1),
    ],
)
def test_a_tag_knows_how_many_addresses_it_takes(tag: dict[str, Any], count: int) -> None:
    assert TagSettings.model_validate(tag).count == count


def test_a_tag_wider_than_any_request_is_refused() -> None:
    tags = {"name": {"address": "holding:0", "type": "string", "length": 32}}
    with pytest.raises(ValidationError, match="more than max_registers"):
        DeviceSettings.model_validate(
            {"link": "bus", "max_registers": 10, "groups": {"slow": {"interval": "1s", "tags": tags}}}
        )


def test_a_link_has_sensible_defaults() -> None:
    link = LinkSettings.model_validate({"driver": "modbus", "host": "192.0.2.10"})
    assert (link.port, link.in_flight, link.timeout, link.pause) == (502, 1, SECOND, 0)
    assert LinkSettings.model_validate({"driver": "modbus", "host": "h", "pause": "5ms"}).pause == 5 * MILLISECOND


@pytest.mark.parametrize("wrong", [{"in_flight": 17}, {"timeout": "0s"}, {"pause": "1ms", "in_flight": 2}, {"prot": 1}])
def test_a_link_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LinkSettings.model_validate({"driver": "modbus", "host": "192.0.2.10"} | wrong)


def test_the_schema_for_editors_knows_the_form_of_an_address() -> None:
    assert "holding" in TagSettings.model_json_schema()["properties"]["address"]["pattern"]
