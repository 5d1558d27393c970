"""What an operator does with the journal, by the command line: beside a gateway that runs, and where none runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import influx_v1, numbered_pump
from tests.flows.publisher import Publisher, time_of
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto")]

Publish = Callable[[], Publisher]

PATIENCE_S = 60


def edgeward(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)


def journal(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return edgeward("journal", *arguments, "--config", str(gateway.configuration))


@pytest.fixture
def kept(start: Start, broker: Mosquitto, publish: Publish) -> tuple[Gateway, list[int]]:
    """A running gateway whose cloud is not there, and the numbers that it has on disk."""
    gateway = start(sinks={"cloud": influx_v1(free_port())}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: publisher.count() > 300)
    sent = finished(gateway, publisher)
    gateway.wait(lambda: bool(json.loads(journal(gateway, "status", "--json").stdout)["waiting_points"] == 0))
    return gateway, sent


def finished(gateway: Gateway, publisher: Publisher) -> list[int]:
    """All numbers that were sent; the gateway has them too."""
    sent = publisher.finish()
    gateway.wait(lambda: bool(gateway.device("pump-1")["scans"] >= len(sent)))
    return sent


def exported(text: str) -> list[tuple[int, int, float]]:
    """Time, n and half of every line that has them, in order."""
    lines = [json.loads(line) for line in text.splitlines()]
    values = [(line["time"], line["values"]["n"], line["values"]["half"]) for line in lines if "values" in line]
    return sorted(values)


def expected(sent: list[int]) -> list[tuple[int, int, float]]:
    return [(time_of(n), n, n / 2) for n in sent]


def test_what_is_kept_is_the_same_with_and_without_a_gateway(kept: tuple[Gateway, list[int]], tmp_path: Path) -> None:
    gateway, sent = kept
    for is_running in (True, False):
        if not is_running:
            gateway.stop()
        status = json.loads(journal(gateway, "status", "--json").stdout)
        assert status["running"] is is_running
        (entry,) = [one for one in status["deliveries"] if one["stream"] == "normal"]
        assert (entry["sink"], entry["pending"], entry["ranges"]) == ("cloud", 2 * len(sent), 1)
        assert 0 < status["time"] - entry["oldest"] < 3600 * 10**9
        (stream,) = [one for one in status["streams"] if one["stream"] == "normal"]
        assert (stream["points"], stream["open"]) == (2 * len(sent), is_running)
        verified = journal(gateway, "verify", "--json")
        assert verified.returncode == 0, verified.stderr
        assert json.loads(verified.stdout)["points"] >= 2 * len(sent)
        shown = journal(gateway, "export")
        assert shown.returncode == 0, shown.stderr
        assert exported(shown.stdout) == expected(sent)
        assert "not encrypted any more" in shown.stderr
        file = tmp_path / f"export-{is_running}.csv"
        tagged = journal(gateway, "export", "--tag", "pump-1/h*", "--format", "csv", "-o", str(file))
        assert tagged.returncode == 0, tagged.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        rows = list(csv.reader(file.read_text().splitlines()))
        assert rows[0] == ["time", "tag", "value", "quality"]
        assert sorted(float(row[2]) for row in rows[1:]) == [n / 2 for n in sent]
        assert {row[1] for row in rows[1:]} == {"pump-1/half"}
        assert journal(gateway, "export", "-o", str(file)).returncode == 1  # nothing is overwritten
    assert "no gateway runs" in journal(gateway, "status").stdout


def test_looking_changes_nothing(kept: tuple[Gateway, list[int]]) -> None:
    gateway, sent = kept
    gateway.stop()
    for work in (("status",), ("verify",), ("export",), ("dead-letters", "list")):
        assert journal(gateway, *work).returncode == 0
    gateway.start()
    assert gateway.sink("cloud")["pending"] >= 2 * len(sent)
    gateway.check_accounts()
    assert not gateway.told("is not configured any more")


def test_damage_is_named_exactly(kept: tuple[Gateway, list[int]]) -> None:
    gateway, sent = kept
    gateway.stop()
    (segment,) = (gateway.folder / "data/journal").glob("normal-*.db")
    content = bytearray(segment.read_bytes())
    middle = len(content) * 2 // 3
    content[middle] ^= 0x40
    segment.write_bytes(content)
    before = segment.read_bytes()
    for is_running in (False, True):
        if is_running:
            gateway.start()
        verified = journal(gateway, "verify", "--json")
        found = json.loads(verified.stdout)
        assert verified.returncode == 1
        (fault,) = found["faults"]
        assert fault["file"] == segment.name
        assert fault["points"] == found["lost"]
        assert 0 < fault["points"] < 2 * len(sent)
        assert fault["since"] <= fault["until"]
        number = str(fault["segment"])
        shown = journal(gateway, "verify", "--segment", number)
        assert shown.returncode == 1
        assert segment.name in shown.stdout
        export = journal(gateway, "export")
        assert export.returncode == 1
        assert "cannot be read" in export.stderr
        read = exported(export.stdout)
        assert len(read) == len(sent) - fault["points"] // 2
        assert set(read) < set(expected(sent))
        assert segment.read_bytes() == before
    missing = journal(gateway, "verify", "--segment", "999")
    assert (missing.returncode, missing.stderr) == (1, "edgeward: there is no segment 999\n")


def test_a_key_that_is_rotated_and_one_that_is_lost(
    start: Start, broker: Mosquitto, publish: Publish, tmp_path: Path
) -> None:
    safe = tmp_path / "safe.key"
    made = edgeward("journal", "recovery-key", "-o", str(safe), "--json")
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(safe.stat().st_mode) == 0o600
    public = json.loads(made.stdout)["recovery_key"]
    assert public not in safe.read_text()
    again = edgeward("journal", "recovery-key", "-o", str(safe))
    assert again.returncode == 1
    assert "exists already" in again.stderr

    sections = numbered_pump(broker.port) | {"journal": {"recovery_key": public}}
    gateway = start(sinks={"cloud": influx_v1(free_port())}, **sections)
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: bool(gateway.device("pump-1")["scans"] > 100))
    key = gateway.folder / "data/journal.key"
    keys = [key.read_text()]
    for is_running in (True, False):
        if not is_running:
            sent = finished(gateway, publisher)
            gateway.stop()
        turned = journal(gateway, "rotate-key")
        assert turned.returncode == 0, turned.stderr
        assert key.read_text() not in keys
        assert len(key.read_text().split()) == 1
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        keys.append(key.read_text())
        assert not json.loads(journal(gateway, "status", "--json").stdout)["rotating"]
        assert journal(gateway, "verify").returncode == 0
    assert gateway.told("rotated the journal's key")

    key.unlink()
    refused = journal(gateway, "export")
    assert refused.returncode == 1
    assert "journal.key is missing" in refused.stderr
    rescued = journal(gateway, "export", "--recovery-key", str(safe))
    assert rescued.returncode == 0, rescued.stderr
    assert exported(rescued.stdout) == expected(sent)
    other = tmp_path / "other.key"
    assert edgeward("journal", "recovery-key", "-o", str(other)).returncode == 0
    wrong = journal(gateway, "export", "--recovery-key", str(other))
    assert wrong.returncode == 1
    assert exported(wrong.stdout) == []


def test_a_journal_is_nobody_elses_while_somebody_has_it(kept: tuple[Gateway, list[int]]) -> None:
    """A gateway that does not answer, for it hangs or only starts, is still there."""
    gateway, _ = kept
    (gateway.folder / "data/control.sock").unlink()
    refused = journal(gateway, "verify")
    assert refused.returncode == 1
    assert f"another gateway, process {gateway.process.pid}, works in" in refused.stderr
    nobody = edgeward("journal", "status", "--socket", str(gateway.folder / "nobody.sock"))
    assert nobody.returncode == 1
    assert "no gateway answers at" in nobody.stderr
    assert "there is no journal" in edgeward("journal", "status", "--data", str(gateway.folder / "none")).stderr
    assert not (gateway.folder / "none").exists()


def test_a_reader_that_hangs_up_in_the_middle(kept: tuple[Gateway, list[int]]) -> None:
    gateway, sent = kept
    for ask in ("verify", "export", "rotate-key"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.connect(str(gateway.folder / "data/control.sock"))
            caller.sendall(json.dumps({"ask": ask}).encode() + b"\n")
            assert caller.recv(1)
    assert exported(journal(gateway, "export").stdout) == expected(sent)
    assert not gateway.told("failed")
    gateway.check_accounts()


def test_interrupted_in_the_middle_it_leaves_nothing_behind(kept: tuple[Gateway, list[int]], tmp_path: Path) -> None:
    gateway, _ = kept
    gateway.stop()
    folder = tmp_path / "out"
    folder.mkdir()
    file = str(folder / "export.jsonl")
    command = [sys.executable, "-m", "gateway", "journal", "export", "--config", str(gateway.configuration)]
    process = subprocess.Popen([*command, "-o", file], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()  # it has begun
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, 130)
    assert [path.name for path in folder.iterdir()] == (["export.jsonl"] if process.returncode == 0 else [])
    gateway.start()  # the lock is free


@pytest.mark.real("influxd")
def test_what_a_real_server_refused_is_explained_and_sent_again(
    start: Start, broker: Mosquitto, publish: Publish, influx: Influxd, database: str
) -> None:
    """A field that was text before: the server takes no number for it, until somebody drops what is there."""
    line = f'state,site=plant-1,cell=line-a,device=pump-1 half="text" {time_of(0) - 1}'.encode()
    urlopen(f"{influx.url}/write?db={database}", line, timeout=10).close()
    gateway = start(sinks={"cloud": influx_v1(influx.port, database)}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: publisher.count() > 50)
    sent = finished(gateway, publisher)
    gateway.wait_delivered("cloud")
    assert gateway.sink("cloud")["dead_letters"] == len(sent)

    listed = journal(gateway, "dead-letters", "list", "--json")
    letters = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(letters) == len(sent)
    assert {letter["tag"] for letter in letters} == {"pump-1/half"}
    assert all("field type conflict" in letter["reason"] for letter in letters)
    shown = journal(gateway, "dead-letters", "show", str(letters[0]["id"]))
    assert "field type conflict" in shown.stdout
    assert f"replay {letters[0]['id']}" in shown.stdout
    in_vain = journal(gateway, "dead-letters", "replay", str(letters[0]["id"]))
    assert in_vain.returncode == 1
    assert "field type conflict" in in_vain.stderr
    assert gateway.sink("cloud")["dead_letters"] == len(sent)

    influx.query("drop measurement state", database)
    replayed = journal(gateway, "dead-letters", "replay", "--all", "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout) == {"letters": len(sent), "points": len(sent), "refused": {}}
    rows = influx.query("select half from state where device = 'pump-1'", database)
    assert [(row["time"], row["half"]) for row in rows] == [(time_of(n), n / 2) for n in sent]
    assert gateway.sink("cloud")["dead_letters"] == 0
    gateway.check_accounts()
    assert journal(gateway, "dead-letters", "list").stdout == "no dead letters\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_leaves_nothing_that_the_gateway_could_not_open(kept: tuple[Gateway, list[int]]) -> None:
    gateway, _ = kept
    gateway.stop()
    data = gateway.folder / "data"
    os.chown(data, 65534, 65534)
    refused = journal(gateway, "rotate-key")
    assert refused.returncode == 1
    assert "sudo -u nobody" in refused.stderr
    os.chown(data, 0, 0)
