"""What a real OPC UA server tells of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.opcua import survey
from gateway import draft
from gateway.errors import ConfigError, ConnectionLost
from gateway.settings import load
from tests.parts.nodeopcua import URI, NodeOpcUa
from tests.parts.process import free_port


def quiet(text: str) -> None:
    """Nobody waits."""


@pytest.mark.real("node-opcua")
async def test_its_variables_become_a_configuration(server: NodeOpcUa, tmp_path: Path) -> None:
    told: list[str] = []
    text = draft.write(await survey(server.url, told.append))
    assert told == [f"browsing {server.url}"]
    path = tmp_path / "edgeward.yaml"
    path.write_text(text)
    (link,) = load(path).links
    (device,) = link.devices
    tags = {tag.name: tag for tag in device.groups[0].columns}
    types = {name: tag.type.value for name, tag in tags.items()}
    assert (types["on"], types["i8"], types["u64"], types["f32"]) == ("bool", "int8", "uint64", "float32")
    assert (types["text"], types["label"], types["moment"]) == ("string", "string", "int64")
    assert "list" not in tags
    assert (tags["setpoint"].writable, tags["denied"].writable) == (True, False)
    assert (tags["pressure"].unit, tags["pressure"].range) == ("bar", (0, 400))
    assert f'level: {{node: "nsu={URI};s=level", type: float64' in text
    assert "# - None for Anonymous, Certificate, UserName\n" in text
    assert "# - Basic256Sha256 SignAndEncrypt for Anonymous, Certificate, UserName\n" in text
    assert "1 of them are arrays" in text


@pytest.mark.real("node-opcua")
async def test_a_user_and_what_is_offered_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    server = NodeOpcUa(users={"op": "secret"})
    try:
        with pytest.raises(ConfigError, match=r"it offers None for .*UserName"):
            await survey(server.url, quiet)
        monkeypatch.setenv("OPCUA_PASSWORD", "secret")
        text = draft.write(await survey(server.url.replace("//", "//op@"), quiet))
    finally:
        server.stop()
    assert "username: op, password: {env: OPCUA_PASSWORD}" in text
    assert "secret" not in text


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionLost, match="no connection"):
        await survey(f"opc.tcp://127.0.0.1:{free_port()}", quiet)
