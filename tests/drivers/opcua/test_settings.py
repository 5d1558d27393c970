from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.opcua import GroupSettings, LinkSettings, TagSettings, check
from gateway import settings
from tests.drivers.opcua.links import make_link, tags


def link(**more: Any) -> LinkSettings:
    return LinkSettings.model_validate({"driver": "opcua", "url": "opc.tcp://plc", **more})


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("opc.tcp://plc", "opc.tcp://plc:4840"),
        ("opc.tcp://plc:48010/UA/Server", "opc.tcp://plc:48010/UA/Server"),
        ("opc.tcp://[::1]/x", "opc.tcp://[::1]:4840/x"),
    ],
)
def test_a_url_has_a_port(url: str, full: str) -> None:
    assert link(url=url).url == full


FILES = {"certificate": "a.crt", "key": "a.key"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"url": "http://plc"}, "opc.tcp://HOST:PORT/PATH"),
        ({"url": "opc.tcp://plc:x"}, "the port is a number"),
        ({"url": "opc.tcp://op:secret@plc"}, "a user does not stand in the URL"),
        ({"security": "basic256sha256", **FILES}, "needs its mode"),
        ({"security": "basic256sha256", "mode": "sign"}, "needs a certificate"),
        ({"mode": "sign"}, "name a policy"),
        ({"server_certificate": "a.crt"}, "name a policy"),
        ({"certificate": "a.crt"}, "certificate and key go together"),
        ({"user_key": "a.key"}, "user_certificate and user_key go together"),
        ({"password": {"env": "PASSWORD"}}, "needs a username"),
        ({"username": "op", "user_certificate": "a", "user_key": "b"}, "not with both"),
        ({"password": "secret", "username": "op"}, "does not stand in the configuration"),
    ],
)
def test_links_that_make_no_sense(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        link(**wrong)


def test_a_group_is_read_or_subscribed_to() -> None:
    group = GroupSettings.model_validate({"interval": "1s", "tags": tags(level="float64")})
    assert group.interval == 1_000_000_000
    with pytest.raises(ValidationError, match="no subscription, and so no queue_size"):
        GroupSettings.model_validate({"interval": "1s", "queue_size": 3, "tags": tags(level="float64")})


def test_a_node_id_is_explained_where_it_is_wrong() -> None:
    with pytest.raises(ValidationError, match="write a node id"):
        TagSettings.model_validate({"node": "Pump.Speed", "type": "bool"})


def test_a_node_stands_once_in_a_device() -> None:
    again = {"again": {"node": "nsu=http://edgeward.test/plant;s=level", "type": "float32"}}
    found = list(check(make_link({"a": {"tags": tags(level="float64", on="bool")}, "b": {"tags": again}})))
    assert found == [("plc/again", "is the same node as plc/level")]


def test_the_example_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLC_PASSWORD", "secret")
    example = Path(__file__).parents[3] / "config" / "examples" / "opcua.yaml"
    (server,) = settings.load(example).links
    pushed, polled = server.devices[0].groups
    assert (server.driver, pushed.interval, polled.interval) == ("opcua", None, 10_000_000_000)


@pytest.mark.slow
def test_settings_do_not_cost_the_library() -> None:
    """It takes most of a second and 40 MiB, and the schema wants the settings of every driver."""
    code = "import sys, drivers.opcua; sys.exit('asyncua' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
