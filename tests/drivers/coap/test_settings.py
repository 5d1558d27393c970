from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.coap import GroupSettings, LinkSettings
from gateway.clock import SECOND

TAGS = {"a": {"type": "int32"}}


def group(**settings: Any) -> GroupSettings:
    return GroupSettings.model_validate({"tags": TAGS, **settings})


def link(**settings: Any) -> LinkSettings:
    return LinkSettings.model_validate({"driver": "coap", **settings})


def test_the_defaults() -> None:
    asks = link(host="192.0.2.1")
    assert (asks.port, asks.timeout, asks.keepalive, asks.max_payload) == (5683, 10 * SECOND, 30 * SECOND, 65_536)
    listens = link(listen={}).listen
    assert listens is not None
    assert (listens.host, listens.port) == ("127.0.0.1", 5683)


def test_the_three_ways_to_values() -> None:
    assert group(resource="/x", interval="5s").interval == 5 * SECOND
    assert group(resource="/x", observe=True).interval is None
    assert group(path="/x").path_of("a") == ("a",)
    assert group(path="/{device}/{tag}").path_of("a") == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "give either host"),
        ({"host": "a", "listen": {}}, "give either host"),
        ({"listen": {}, "port": 1}, "stands in listen"),
        ({"host": "a", "timeout": "0s"}, "greater than 0"),
        ({"listen": {"port": 0}}, "greater than or equal to 1"),
    ],
)
def test_mistakes_in_a_link(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        link(**settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "give either resource"),
        ({"resource": "/x", "path": "/x"}, "give either resource"),
        ({"resource": "/x"}, "give either interval"),
        ({"resource": "/x", "interval": "1s", "observe": True}, "give either interval"),
        ({"path": "/x", "observe": True}, "neither observed nor polled"),
        ({"path": "/x", "interval": "1s"}, "neither observed nor polled"),
        ({"resource": "/{tag}", "interval": "1s"}, "only {device}"),
        ({"path": "x"}, "cannot be used"),
        ({"path": "/x", "tags": {"a": {"type": "int32", "writable": True}}}, "needs a command"),
        ({"path": "/x", "tags": {"a": {"type": "int32", "command": {"resource": "/y", "method": "get"}}}}, "put"),
        ({"path": "/x", "format": "text", "tags": TAGS | {"b": {"type": "int32"}}}, "holds one value"),
    ],
)
def test_mistakes_in_a_group(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        group(**settings)


@pytest.mark.slow
def test_who_only_checks_a_configuration_does_not_load_aiocoap() -> None:
    program = "import sys, drivers.coap; sys.exit('aiocoap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
