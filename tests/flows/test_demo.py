"""The demo, as `make demo` runs it where there is no terminal: nothing is lost, wrong or twice, and the pump stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.process import find

pytestmark = pytest.mark.slow

SECONDS = 12
NAMES = (
    "ingested delivered pending dead_letters dropped duplicates lost wrong protocols outage_s peak_backlog drain_s "
    "isolations"
)


def command(folder: Path, broker: str) -> list[str]:
    return [sys.executable, "-m", "simulators.demo", "--broker", broker, "--build", str(folder)]


def run(folder: Path, broker: str) -> str:
    """What it prints. It works in `folder`, and must end well."""
    environment = {**os.environ, "DEMO_SECONDS": str(SECONDS)}
    ended = subprocess.run(command(folder, broker), env=environment, capture_output=True, text=True, timeout=150)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def check(folder: Path, printed: str) -> None:
    assert "\x1b" not in printed
    assert "The cloud is cut off." in printed
    line = printed.splitlines()[-1]
    assert (folder / "results" / "demo.json").read_text() == f"{line}\n"
    told = json.loads(line)
    figures = told["figures"]
    assert (told["name"], list(figures)) == ("demo", NAMES.split())
    assert all(figures[name] == 0 for name in ("lost", "wrong", "duplicates", "pending", "dead_letters", "dropped"))
    assert figures["isolations"] == 1
    assert figures["ingested"] == figures["delivered"] > sum(figures["protocols"].values())
    # 16 values from each of five pumps and 13 from their station, ten times a second, and some that come less often.
    usual = {"modbus": 13, "mqtt": 3 * 16, "opcua": 16, "coap": 16}
    assert list(figures["protocols"]) == list(usual)
    assert all(figures["protocols"][name] >= SECONDS * 10 * values * 0.7 for name, values in usual.items())
    assert figures["outage_s"] == pytest.approx(0.35 * SECONDS, rel=0.2)
    assert figures["peak_backlog"] > figures["outage_s"] * 600
    assert figures["drain_s"] > 0


def test_an_interrupted_demo_ends_its_processes(tmp_path: Path) -> None:
    with subprocess.Popen(command(tmp_path, "embedded"), stdout=-1, stderr=-1, text=True) as demo:
        assert demo.stdout is not None
        while "Everything works" not in (line := demo.stdout.readline()):
            assert line
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.send_signal(signal.SIGINT)
        _, told = demo.communicate(timeout=30)
    assert (demo.returncode, told) == (130, "interrupted; everything has ended\n")
    assert len(children) == 6
    assert not any(Path("/proc", child).exists() for child in children)


def test_the_demo_with_its_own_broker(tmp_path: Path) -> None:
    check(tmp_path, run(tmp_path, "embedded"))


@pytest.mark.real("mosquitto")
def test_the_demo_with_mosquitto(tmp_path: Path) -> None:
    find("mosquitto", "mosquitto")
    check(tmp_path, run(tmp_path, "mosquitto"))
