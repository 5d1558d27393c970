"""The configurations that compose.yaml mounts are whole, but for the secrets that only its volumes hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings
from tests.parts.podman import ROOT

FILES = sorted((ROOT / "docker" / "config").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configuration_is_valid(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    for place in ("/secrets/gateway/mqtt-password", "/tokens/gateway/influxdb"):
        text = text.replace(place, str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "edgeward.yaml").write_text(text)
    configuration = settings.load(tmp_path / "edgeward.yaml")
    assert configuration.data == Path("/data")
    assert configuration.http.host == "0.0.0.0"
