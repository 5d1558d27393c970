"""The image, built and run. No registry is in reach where these tests were written, so it stands on a base made from
Debian's packages (Python 3.11), not on the python:3.12-slim-bookworm that docker/Dockerfile names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.podman import Podman

pytestmark = [pytest.mark.real("podman"), pytest.mark.slow]

CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=none", "--memory=512m"]
FOREIGN = ["pip", "pip3", "uv", "gcc", "cc", "c++", "ld", "as", "make", "strip", "curl", "wget"]


@pytest.fixture(scope="module")
def gateway(podman: Podman, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that may do nothing but work, in a container without any network: what it needs is in the image."""
    folder = tmp_path_factory.mktemp("config")
    folder.chmod(0o755)
    (folder / "edgeward.yaml").write_text("site: plant-1\ncell: line-a\ndata: /data\n")
    with podman.container(image, *CONFINED, f"--volume={folder}:/config:ro") as name:
        podman.wait_healthy(name)
        yield name


def test_is_small(podman: Podman, image: str) -> None:
    (facts,) = json.loads(podman("image", "inspect", image).stdout)
    assert facts["Size"] <= 300_000_000


def test_says_what_it_is(podman: Podman, image: str) -> None:
    (facts,) = json.loads(podman("image", "inspect", image).stdout)
    assert facts["Config"]["StopSignal"] == "SIGTERM"
    assert facts["Config"]["User"] == "10001:10001"
    assert facts["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_has_the_locked_versions(podman: Podman, gateway: str) -> None:
    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = set(podman.inside(gateway, "python3", "-c", script).stdout.lower().replace("_", "-").split())
    lock = Path("uv.lock").read_text().split("[[package]]\n")[1:]
    locked = {"==".join(line.split('"')[1] for line in entry.splitlines()[:2]) for entry in lock}
    assert len(installed) > 20
    assert installed <= locked


def test_holds_no_compiler_and_no_installer(podman: Podman, gateway: str) -> None:
    look = f"for program in sh {' '.join(FOREIGN)}; do command -v $program; done"
    assert podman.inside(gateway, "sh", "-c", look, check=False).stdout.split() == ["/usr/bin/sh"]
    for module in ("pip", "ensurepip"):
        assert podman.inside(gateway, "python3", "-m", module, "--version", check=False).returncode == 1


def test_runs_as_nobody_special(podman: Podman, gateway: str) -> None:
    assert podman.inside(gateway, "id", "--user").stdout.strip() == "10001"
    status = podman.inside(gateway, "cat", "/proc/1/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert podman.inside(gateway, "find", "/", "-xdev", "-perm", "/6000", "-type", "f", check=False).stdout == ""


def test_writes_to_its_data_alone(podman: Podman, gateway: str) -> None:
    for place in ("/", "/config", "/opt/edgeward", "/etc", "/home"):
        assert podman.inside(gateway, "touch", f"{place}/probe", check=False).returncode != 0, place
    podman.inside(gateway, "touch", "/data/probe", "/tmp/probe")


def test_answers_its_own_command_line(podman: Podman, gateway: str) -> None:
    assert json.loads(podman.inside(gateway, "edgeward", "status", "--json").stdout)["site"] == "plant-1"


def test_health_check_can_fail(podman: Podman, image: str) -> None:
    with podman.container(image, "--entrypoint=sleep", command=["60"]) as idle:
        assert not podman.healthy(idle)


def test_stops_in_order(podman: Podman, image: str, tmp_path: Path) -> None:
    """SIGTERM ends it with 0, well before a runtime would kill it; and the next start works with what it has kept."""
    (tmp_path / "edgeward.yaml").write_text("site: plant-1\ncell: line-a\ndata: /data\n")
    tmp_path.chmod(0o755)
    with podman.container(image, *CONFINED, f"--volume={tmp_path}:/config:ro") as name:
        podman.wait_healthy(name)
        key = podman.inside(name, "cat", "/data/journal.key").stdout
        began = time.monotonic()
        podman("stop", "--time=20", name)
        assert time.monotonic() - began < 10
        assert podman.exit_code(name) == 0
        podman("start", name)
        podman.wait_healthy(name)
        assert podman.inside(name, "cat", "/data/journal.key").stdout == key
