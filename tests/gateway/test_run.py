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

from gateway import run, settings
from gateway.cli.client import CallFailed, Client
from gateway.clock import SECOND
from gateway.door import AskStatus, StatusReply
from gateway.errors import ConfigError
from gateway.generation import Archive
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
        assert (status.generation.number, status.generation.refused) == (1, "")
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


WHOLE = "site: plant-1\ncell: line-a\ndata: {data}\ninclude: [rules.yaml]\n"


def accepted(folder: Path, data: str = "data") -> Path:
    """A configuration in two files that was accepted once."""
    path = folder / "edgeward.yaml"
    path.write_text(WHOLE.format(data=data))
    (folder / "rules.yaml").write_text("rules: {}\n")
    choice = run.choose(path)
    assert choice.refused == ""
    Archive(folder / data).remember(choice.source.contents, 1_700_000_000 * SECOND)
    return path


def test_last_good_is_not_wanted_where_the_file_is_right(tmp_path: Path) -> None:
    path = accepted(tmp_path)
    path.write_text(path.read_text().replace("line-a", "line-b"))
    choice = run.choose(path)
    assert (choice.configuration.cell, choice.refused) == ("line-b", "")


@pytest.mark.parametrize(
    "text",
    ["", "\0\0\0", "site: [", "site: plant-1\ncell: line-a\nlnks: {}\n", WHOLE.format(data="data") + "cell: twice\n"],
)
def test_last_good(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = accepted(tmp_path)
    before = settings.load(path)
    path.write_text(text)
    choice = run.choose(path)
    assert choice.configuration == before
    assert choice.refused.startswith(
        f"generation 1, accepted at 2023-11-14T22:13:20Z, runs instead of what is on the disk: {path}:"
    )
    assert f"{path}:" in capsys.readouterr().err


def test_last_good_of_a_file_that_is_gone(tmp_path: Path) -> None:
    path = accepted(tmp_path)
    before = settings.load(path)
    path.unlink()
    (tmp_path / "rules.yaml").unlink()
    assert run.choose(path).configuration == before


def test_last_good_of_a_file_that_cannot_say_where(tmp_path: Path) -> None:
    path = accepted(tmp_path, data="state")
    path.write_text("")
    with pytest.raises(ConfigError, match=f"no configuration that was accepted before is kept in {tmp_path}/data"):
        run.choose(path)
    assert run.choose(path, tmp_path / "state").configuration.data == tmp_path / "state"


def test_nothing_was_accepted_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edgeward.yaml"
    path.write_text("site: plant-1\n")
    assert run.run(path, last_good=True) == run.CANNOT_START
    told = capsys.readouterr().err
    assert 'missing key "cell"' in told
    assert "no configuration that was accepted before" in told


def test_lock_is_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with run.lock(tmp_path / "data"):
            assert (tmp_path / "data/lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.slow
def test_a_hangup_that_comes_too_early_waits(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    program = (
        "import os, signal, sys; from pathlib import Path; from gateway import run, settings\n"
        "load = settings.load\n"
        "settings.load = lambda *rest: (os.kill(os.getpid(), signal.SIGHUP), load(*rest))[1]\n"
        "sys.exit(run.run(Path(sys.argv[1])))\n"
    )
    part = Part([sys.executable, "-c", program, str(path)], 0, tmp_path / "log")
    try:
        part.wait(lambda: "generation 1 of the configuration is in force" in (tmp_path / "log").read_text())
        assert answers(tmp_path)
    finally:
        part.kill()


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="nothing here is always full")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The system's own words do not say which."""
    path, _ = write(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to("/dev/full")
    part = Part([sys.executable, "-m", "gateway", "run", str(path)], 0, tmp_path / "log")
    try:
        assert part.process.wait(20) == run.CANNOT_START
    finally:
        part.kill()
    assert f"cannot work in {tmp_path / 'data'}: [Errno " in part.log.read_text()


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
