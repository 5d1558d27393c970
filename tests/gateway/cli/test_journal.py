"""`edgeward journal` against a whole cell, and against its files when it has ended."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import keeper
from gateway.cli import bar, export, letters, main
from gateway.clock import SystemClock
from gateway.forwarder import Forwarder
from gateway.journal.catalog import DeadLetter
from gateway.journal.chunk import Stream
from tests.gateway.build import NOW
from tests.gateway.gate import FakeSink, Gate, fake_plugins, running, wait_until

CONTENT = b'{"device":"press-1","tag":"pressure","type":"float64","value":12.5}'


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)
    monkeypatch.setattr(FakeSink, "away", True)


async def call(data: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["journal", *arguments, "--data", str(data)])


async def fill(gate: Gate, count: int = 5) -> None:
    for _ in range(count):
        gate.publish(True, 1, 81.0, "ok")
    await wait_until(lambda: gate.cell.journal.waiting[0] == 0)
    await wait_until(lambda: gate.cell.journal.statistics("cloud").pending >= 4 * count)


async def bury(gate: Gate, *reasons: str) -> None:
    journal = gate.cell.journal
    journal.deliveries["cloud", Stream.NORMAL].dead_letters += len(reasons)
    journal.deliveries["cloud", Stream.NORMAL].base -= len(reasons)
    journal.settle("cloud", [], {})
    journal._notes.letters += [DeadLetter("cloud", NOW, 1, reason, CONTENT) for reason in reasons]
    await journal.note()


async def test_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        await fill(gate)
        assert await call(tmp_path, "status") == 0
        out = capsys.readouterr().out
        assert out.startswith("the gateway runs; ")
        rows = [line.split() for line in out.splitlines()]
        assert any(row[:3] == ["cloud", "normal", "20"] for row in rows)
        assert "\x1b" not in out
    assert await call(tmp_path, "status") == 0
    out = capsys.readouterr().out
    assert out.startswith("no gateway runs; ")
    assert any(row[:3] == ["cloud", "normal", "20"] for row in map(str.split, out.splitlines()))


async def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        await fill(gate)
        assert await call(tmp_path, "verify") == 0
        assert capsys.readouterr().out.endswith("points: all is sound\n")
    (segment,) = (tmp_path / "journal").glob("normal-*.db")
    segment.write_bytes(bytes(9000))
    assert await call(tmp_path, "verify") == 1
    captured = capsys.readouterr()
    assert segment.name in captured.out
    assert "20 points cannot be read" in captured.err
    assert await call(tmp_path, "verify", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["lost"], [fault["points"] for fault in found["faults"]]) == (20, [20])


async def test_export(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "out.jsonl"
    async with running(tmp_path) as gate:
        await fill(gate)
        assert await call(tmp_path, "export", "-o", str(file), "--json") == 0
        assert json.loads(capfdbinary.readouterr().out)["points"] == 20
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["values"]["pressure"] for line in lines if "values" in line] == [81.0] * 5
        assert lines[0]["site"] == "plant-1"
        assert await call(tmp_path, "export", "-o", str(file)) == 1
        assert b"exists already" in capfdbinary.readouterr().err
        assert await call(tmp_path, "export", "-o", str(file), "--force", "--to", "1h") == 0
        assert file.read_text() == ""
    assert await call(tmp_path, "export", "--device", "press-1", "--format", "csv") == 0
    assert capfdbinary.readouterr().out.count(b",press-1/pressure,81.0,good\r\n") == 5
    assert await call(tmp_path, "export", "-o", str(tmp_path / "no/such/folder")) == 1
    assert b"No such file" in capfdbinary.readouterr().err


async def test_dead_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(tmp_path, "dead-letters", "list") == 0
        assert capsys.readouterr().out == "no dead letters\n"
        await bury(gate, "field type conflict", "no \x1b[31mcolour")
        assert await call(tmp_path, "dead-letters", "list") == 0
        out = capsys.readouterr().out
        assert "field type conflict" in out
        assert "press-1/pressure" in out
        assert "\x1b" not in out
        assert await call(tmp_path, "dead-letters", "show", "1") == 0
        out = capsys.readouterr().out
        assert '"value":12.5' in out
        assert "edgeward journal dead-letters replay 1" in out
        assert await call(tmp_path, "dead-letters", "show", "7") == 1
        assert "there is no dead letter 7" in capsys.readouterr().err
        assert await call(tmp_path, "dead-letters", "drop") == 1
        assert "which dead letters?" in capsys.readouterr().err
        await gate.ask(ask="alarms")  # so that the last caller was let in and has left
    assert await call(tmp_path, "dead-letters", "replay", "1") == 1
    assert "no gateway runs, and this needs one" in capsys.readouterr().err
    assert await call(tmp_path, "dead-letters", "drop", "1") == 1
    assert "--yes says so" in capsys.readouterr().err
    assert await call(tmp_path, "dead-letters", "drop", "1", "--yes") == 0
    assert capsys.readouterr().out == "dropped: 1 letter of 1 point\n"
    assert await call(tmp_path, "dead-letters", "list", "--json") == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [2]
    async with running(tmp_path) as gate:
        counts = gate.cell.journal.statistics("cloud")
        assert (counts.dead_letters, counts.dropped) == (1, 1)
        assert await call(tmp_path, "dead-letters", "drop", "--all", "--yes", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"letters": 1, "points": 1}


async def test_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def replay(self: Forwarder, given: Sequence[DeadLetter]) -> list[str]:
        return ["" if letter.reason == "once" else "still no" for letter in given]

    monkeypatch.setattr(Forwarder, "replay", replay, raising=False)
    monkeypatch.setattr(keeper, "_PART", 1)
    async with running(tmp_path) as gate:
        await bury(gate, "once", "for ever")
        assert await call(tmp_path, "dead-letters", "replay", "--sink", "cloud") == 1
        captured = capsys.readouterr()
        assert captured.out == "1 letter of 1 point went through, 1 refused again\n"
        assert captured.err == "  2: still no\n"
        counts = gate.cell.journal.statistics("cloud")
        assert (counts.dead_letters, counts.delivered) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "is_done"), [("y\n", True), ("Yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_confirm(monkeypatch: pytest.MonkeyPatch, answer: str, is_done: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    try:
        letters.confirm("really?")
    except letters.CallFailed:
        assert not is_done
    else:
        assert is_done


def test_moment() -> None:
    at = int(datetime(2026, 11, 23, 8, 15, tzinfo=UTC).timestamp()) * 10**9
    assert export.moment("2026-11-23T08:15:00Z") == at
    assert export.moment("2026-11-23 08:15") == at
    assert export.moment("2026-11-23T09:15:00.25+01:00") == at + 250_000_000
    assert abs(SystemClock().now() - 7200 * 10**9 - export.moment("2h")) < 10**9
    with pytest.raises(ValueError, match="duration"):
        export.moment("yesterday")


def test_command_lines_that_cannot_be_understood(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["journal"],
        ["journal", "export", "--from", "yesterday"],
        ["journal", "verify", "--segment", "0"],
        ["journal", "dead-letters", "drop", "x"],
        ["journal", "status", "--data", "a", "--config", "b"],
        ["drill", "outage"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "is no time" in capsys.readouterr().err


def test_a_bar_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with bar.bar("verifying") as tell:
        tell(1, 2)
    assert "verifying" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with bar.bar("verifying") as tell:
        tell(1, 2)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
