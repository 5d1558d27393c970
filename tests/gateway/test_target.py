"""URLs as people write them for `edgeward init`."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.target import parse


def test_all_parts() -> None:
    found = parse("mqtt://ed%40plant@broker.local:1884?topic=plant/+/state&topic=#&seconds=2.5", "topic", "seconds")
    assert (found.scheme, found.host, found.port, found.user) == ("mqtt", "broker.local", 1884, "ed@plant")
    assert found.options["topic"] == ["plant/+/state", "#"]
    assert found.number("seconds", 5, 0, 10) == 2.5
    assert found.authority == "broker.local:1884"


def test_a_bare_host() -> None:
    found = parse("coap://[2001:db8::1]/a%20b", "unit")
    assert (found.host, found.port, found.path, found.user) == ("2001:db8::1", None, "/a b", None)
    assert found.authority == "[2001:db8::1]"
    assert found.number("unit", 7, 0, 255) == 7


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("modbus://", "names no host: write modbus://HOST"),
        ("modbus://h:99999", "is no URL"),
        ("modbus://h:x", "is no URL"),
        ("modbus://[::1", "is no URL"),
        ("mqtt://ed:secret@h", "a password does not stand in a URL"),
        ("modbus://h?units=1", "unknown option 'units' in the URL: known are unit"),
        ("modbus://" + "h" * 3000, "too long"),
        ("modbus://" + "h" * 300, "at most 253 letters"),
    ],
)
def test_what_is_wrong_is_said(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse(url, "unit")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["x", "256", "-1", "nan", ""])
def test_an_option_out_of_bounds(given: str) -> None:
    with pytest.raises(ConfigError, match="write a number from 0 to 255"):
        parse(f"modbus://h?unit={given}", "unit").number("unit", 1, 0, 255)
