"""influxdb/tokens.sh, with a stand-in for InfluxDB's client: it answers as the client's documentation shows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.parts.podman import ROOT

SCRIPT = ROOT / "docker" / "influxdb" / "tokens.sh"

CLIENT = """#!/bin/sh
echo "$@" >>"$HERE/calls"
[ -z "$REFUSE" ] || { echo "Error: unauthorized" >&2; exit 1; }
printf '{\\n\\t"id": "0a1",\\n\\t"token": "secret-of-%s==",\\n\\t"status": "active"\\n}\\n' "$7"
"""


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    for reader in ("gateway", "grafana"):
        (tmp_path / "tokens" / reader).mkdir(parents=True)
    (tmp_path / "influx").write_text(CLIENT)
    (tmp_path / "influx").chmod(0o755)
    return tmp_path / "tokens"


def run(tokens: Path, refuse: str = "") -> subprocess.CompletedProcess[str]:
    here = tokens.parent
    script = SCRIPT.read_text().replace("/tokens/", f"{tokens}/").replace("/tmp/authorization", f"{here}/answer")
    environment = {
        "PATH": f"{here}:{os.environ['PATH']}",
        "HERE": str(here),
        "REFUSE": refuse,
        "DOCKER_INFLUXDB_INIT_ORG": "edgeward",
        "DOCKER_INFLUXDB_INIT_BUCKET_ID": "b1",
    }
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)


def test_each_gets_what_it_needs(tokens: Path) -> None:
    assert run(tokens).returncode == 0
    assert (tokens / "gateway" / "influxdb").read_text() == "secret-of-gateway==\n"
    assert (tokens / "grafana" / "influxdb").read_text() == "secret-of-grafana==\n"
    assert (tokens.parent / "calls").read_text().splitlines() == [
        "auth create --json --org edgeward --description gateway --write-bucket b1",
        "auth create --json --org edgeward --description grafana --read-bucket b1",
    ]
    assert not (tokens.parent / "answer").exists()


def test_refusal_stops_the_first_start(tokens: Path) -> None:
    """InfluxDB's image then removes the database, and begins again."""
    done = run(tokens, refuse="yes")
    assert done.returncode != 0
    assert "unauthorized" in done.stderr


def test_may_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)
