"""A whole gateway as a process: it starts, answers, ends in order, and is alone on its data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import run
from gateway.cli.client import CallFailed, Client
from gateway.door import AskStatus, StatusReply
from tests.parts.process import Part, free_port

CONFIGURATION = """\
site: plant-1
cell: line-a
links:
  press-bus: {{driver: modbus, host: 127.0.0.1, port: {closed}}}
devices:
  press-1:
    link: press-bus
    groups:
      fast: {{interval: 1s, tags: {{run: {{address: "coil:3", type: bool}}}}}}
sinks:
  archive: {{sink: files, directory: {archive}}}
http: {{port: {http}}}
"""


def write(folder: Path) -> tuple[Path, int]:
    """A configuration, and the port of its metrics."""
    path = folder / "edgeward.yaml"
    http = free_port()
    path.write_text(CONFIGURATION.format(closed=free_port(), archive=folder / "archive", http=http))
    return path, http


def answers(folder: Path) -> bool:
    try:
        Client(folder / "data/control.sock").ask(AskStatus(), StatusReply)
    except CallFailed:
        return False
    return True


@contextmanager
def started(path: Path) -> Iterator[Part]:
    part = Part([sys.executable, "-m", "gateway", "run", str(path)], 0, path.parent / "log")
    try:
        part.wait(lambda: answers(path.parent))
        yield part
    finally:
        part.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_life(tmp_path: Path, number: signal.Signals) -> None:
    path, http = write(tmp_path)
    with started(path) as part:
        status = Client(tmp_path / "data/control.sock").ask(AskStatus(), StatusReply).status
        assert (status.site, status.links[0].id, status.sinks[0].id) == ("plant-1", "press-bus", "archive")
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5) as response:
            assert json.load(response)["ready"]
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "run", str(path)], capture_output=True, text=True, check=False, timeout=30
        )
        assert second.returncode == run.CANNOT_START
        assert f"another gateway, process {part.process.pid}, works in {tmp_path}/data" in second.stderr
        assert answers(tmp_path)  # and the first one does not mind
        part.process.send_signal(number)
        assert part.process.wait(run.STOP_SECONDS) == run.ENDED
    assert not (tmp_path / "data/control.sock").exists()
    log = part.log.read_text().splitlines()
    assert log[-1].endswith("INFO    stopped")
    assert all(line[:2] == "20" for line in log), "every line starts with its time, so there is no traceback"


@pytest.mark.slow
def test_comes_back_after_kill(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    with started(path):
        pass
    assert (tmp_path / "data/control.sock").exists()
    with started(path) as part:
        part.process.terminate()
        assert part.process.wait(run.STOP_SECONDS) == run.ENDED


def test_configuration_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edgeward.yaml"
    path.write_text("site: plant-1\ncell: line-a\nlnks: {}\n")
    assert run.run(path) == run.CANNOT_START
    assert capsys.readouterr().err == f'{path}:3:1: unknown key "lnks"\n    did you mean "links"?\n'


def test_lock_is_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with run.lock(tmp_path / "data"):
            assert (tmp_path / "data/lock").read_text() == f"{os.getpid()}\n"


PROGRAM = """\
import asyncio, sys
from pathlib import Path
from gateway import run
from gateway.cell import Cell

async def hang(cell): await asyncio.Event().wait()
async def fail(cell): raise RuntimeError("a bug")

Cell.{method} = {what}
run.STOP_SECONDS = 1
sys.exit(run.run(Path(sys.argv[1])))
"""


def broken(path: Path, method: str, what: str) -> Part:
    program = PROGRAM.format(method=method, what=what)
    return Part([sys.executable, "-c", program, str(path)], 0, path.parent / "log")


@pytest.mark.slow
def test_stopping_is_bounded_whatever_hangs(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    part = broken(path, "stop", "hang")
    try:
        part.wait(lambda: answers(tmp_path))
        part.process.terminate()
        assert part.process.wait(10) == -signal.SIGALRM
    finally:
        part.kill()


@pytest.mark.slow
def test_failure_has_its_own_code(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    part = broken(path, "run", "fail")
    try:
        assert part.process.wait(20) == run.FAILED
    finally:
        part.kill()
    log = part.log.read_text()
    assert "ERROR   the gateway failed" in log
    assert "RuntimeError: a bug" in log
