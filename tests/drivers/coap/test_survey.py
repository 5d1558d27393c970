"""What CoAP servers tell of themselves."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap import survey
from drivers.coap.linkformat import Resource, parse
from drivers.coap.survey import _groups
from gateway import draft
from gateway.errors import ConfigError, ConnectionLost
from gateway.settings import load
from gateway.survey import Line, Part, Survey
from tests.parts.libcoap import CoapServer
from tests.parts.process import free_port


def quiet(text: str) -> None:
    """Nobody waits."""


@pytest.mark.real("libcoap")
async def test_resources_below_a_path_become_groups(coap_server: CoapServer, tmp_path: Path) -> None:
    coap_server.put("/pump/state", json.dumps({"ts": int(time.time()), "bearing": {"temperature": 71.5}, "run": True}))
    coap_server.put("/pump/speed", "1480")
    coap_server.put("/pump/name", '"P 7"')
    coap_server.put("/pumps", "1")
    told: list[str] = []
    found = await survey(f"coap://127.0.0.1:{coap_server.port}/pump/", told.append)
    assert sorted(told) == ["reading /pump/name", "reading /pump/speed", "reading /pump/state"]
    device = found.devices.plain()["device-1"]
    assert isinstance(device, dict)
    assert device["groups"] == {
        "pump.state": {
            "resource": "/pump/state",
            "observe": True,
            "time": {"path": "ts", "format": "unix_s"},
            "tags": {"bearing.temperature": {"type": "float64"}, "run": {"type": "bool"}},
        },
        "pump.speed": {
            "resource": "/pump/speed",
            "observe": True,
            "format": "text",
            "tags": {"pump.speed": {"type": "float64"}},
        },
        "pump.name": {
            "resource": "/pump/name",
            "observe": True,
            "tags": {"pump.name": {"path": "", "type": "string"}},
        },
    }
    path = tmp_path / "edgeward.yaml"
    path.write_text(draft.write(found))
    load(path)


@pytest.mark.real("libcoap")
async def test_a_single_resource(coap_server: CoapServer) -> None:
    text = draft.write(await survey(f"coap://127.0.0.1:{coap_server.port}/time", quiet))
    assert "        resource: /time   # Internal Clock\n        observe: true\n        format: text\n" in text


@pytest.mark.real("libcoap")
async def test_a_path_that_is_not_there(coap_server: CoapServer) -> None:
    with pytest.raises(ConfigError, match="no resource that tags could be made of"):
        await survey(f"coap://127.0.0.1:{coap_server.port}/nothing", quiet)


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionLost):
        await survey(f"coap://127.0.0.1:{free_port()}", quiet)


PATHS = st.text(max_size=20).map(lambda path: f"</{path}>;obs" if len(path) % 2 else f"</{path}>")
PAYLOADS = st.sampled_from([None, b"1", b'{"a": 1}', b'"x"', b"[1, true]", b"{}", b"text"]) | st.binary(max_size=10)


@given(st.lists(st.tuples(PATHS, PAYLOADS), max_size=8))
def test_whatever_a_server_says_the_configuration_is_good(said: list[tuple[str, bytes | None]]) -> None:
    payloads: dict[Resource, bytes | None] = {each: payload for path, payload in said for each in parse(path)}
    unique = {each.path: (each, payload) for each, payload in payloads.items()}
    groups = _groups(dict(unique.values()))
    if not groups:
        return
    links = Part({"server": Line({"driver": "coap", "host": "h"})})
    device = Part({"link": Line("server"), "groups": Part(groups)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeward.yaml"
        path.write_text(draft.write(Survey(links, Part({"device-1": device}))), encoding="utf-8")
        load(path)
