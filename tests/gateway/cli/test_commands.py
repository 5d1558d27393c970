"""The commands that ask a running gateway, against a whole cell."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cli import main, overview, watch
from gateway.cli.board import Board
from gateway.cli.write import parse
from gateway.door import TagReading
from gateway.status import AlarmEntry, DeviceStatus, GenerationStatus, LinkStatus, SinkStatus, Status
from tests.gateway.gate import Gate, configuration, fake_plugins, running
from tests.gateway.workshop import device, install, link, workshop


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)


async def call(gate: Gate, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--socket", str(gate.control.path)])


async def test_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        assert await call(gate, "status") == 0
        out = capsys.readouterr().out
        assert out.startswith("plant-1/line-a: up ")
        assert "\x1b" not in out
        rows = [line.split() for line in out.splitlines()]
        assert ["press-bus", "fake", "online", "1", "0"] in rows
        assert any(row[:3] == ["press-1", "press-bus", "online"] for row in rows)
        assert any(row[:3] == ["too-high", "medium", "unacknowledged"] for row in rows)
        assert await call(gate, "status", "--json") == 0
        assert json.loads(capsys.readouterr().out)["devices"][0]["points"] == 4


async def test_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "read", "press-1/pressure") == 0
        assert capsys.readouterr().out == "press-1/pressure has no value yet\n"
        gate.publish(True, 1, 12.5, "ok")
        assert await call(gate, "read", "press-1/pressure") == 0
        assert capsys.readouterr().out.startswith("press-1/pressure 12.5 bar good, 0.")
        assert await call(gate, "read", "press-1/pressure", "--json") == 0
        assert json.loads(capsys.readouterr().out)["value"] == 12.5


async def test_unknown_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "read", "press-1/pressur") == 1
        captured = capsys.readouterr()
        assert captured.err == ('edgeward: there is no tag "press-1/pressur"\n    did you mean "press-1/pressure"?\n')
        assert captured.out == ""


async def test_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "write", "press-1/run", "false") == 0
        assert capsys.readouterr().out == "written: press-1/run = false\n"
        assert await call(gate, "write", "press-1/run", "off") == 1
        assert capsys.readouterr().out == "refused: press-1/run = off: press-1/run takes a bool, not str\n"
        assert await call(gate, "write", "press-1/run", "true", "--json") == 0
        assert json.loads(capsys.readouterr().out)["outcome"] == "done"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("7", 7),
        ("-1.5", -1.5),
        ('"7"', "7"),
        ("open", "open"),
        ("null", "null"),
        ("NaN", "NaN"),
        ("[1]", "[1]"),
        ("", ""),
        ("\udcff", "\udcff"),
    ],
)
def test_parse(text: str, value: object) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


async def test_alarms_and_ack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "ack", "too-high") == 1
        assert "alarm too-high is normal: there is nothing to acknowledge" in capsys.readouterr().err
        gate.publish(True, 1, 81.0, "ok")
        assert await call(gate, "alarms") == 0
        assert "unacknowledged" in capsys.readouterr().out
        assert await call(gate, "ack", "too-high") == 0
        out = capsys.readouterr().out
        assert out.startswith("too-high: acknowledged by ")
        assert out.endswith("; it was unacknowledged and is acknowledged\n")
        assert await call(gate, "alarms", "--json") == 0
        assert json.loads(capsys.readouterr().out)[0]["state"] == "acknowledged"


async def test_an_alarm_is_acknowledged_with_a_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        assert await call(gate, "ack", "too-high", "--comment", "valve is open") == 0
        capsys.readouterr()
        assert await call(gate, "alarms", "--json") == 0
        (alarm,) = json.loads(capsys.readouterr().out)
        assert alarm["comment"] == "valve is open"
        assert alarm["actor"]
        assert await call(gate, "alarms") == 0
        assert "valve is" in capsys.readouterr().out


async def test_shelve_and_unshelve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "unshelve", "too-high") == 1
        assert "alarm too-high is not shelved" in capsys.readouterr().err
        assert await call(gate, "shelve", "too-high", "--for", "90m", "--comment", "pump is being serviced") == 0
        out = capsys.readouterr().out
        assert out.startswith("too-high: shelved by ")
        assert "; it is normal, shelved until 20" in out
        gate.publish(True, 1, 81.0, "ok")
        assert await call(gate, "status", "--json") == 0
        (alarm,) = json.loads(capsys.readouterr().out)["alarms"]
        assert (alarm["state"], alarm["suppressed"], alarm["comment"]) == (
            "unacknowledged",
            True,
            "pump is being serviced",
        )
        assert await call(gate, "unshelve", "too-high", "--json") == 0
        reply = json.loads(capsys.readouterr().out)
        assert (reply["move"], reply["alarm"]["shelved_until"]) == ("unshelve", 0)


@pytest.mark.parametrize(
    ("duration", "comment", "why"),
    [
        ("25h", "noise", "an alarm is shelved for 24h at most"),
        ("0s", "noise", "an alarm is shelved for 24h at most"),
        ("2", "noise", "write a duration with its unit"),
        ("1h", " ", "say why, in a comment"),
    ],
)
async def test_what_is_not_shelved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], duration: str, comment: str, why: str
) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "shelve", "too-high", "--for", duration, "--comment", comment) == 1
        assert why in capsys.readouterr().err
        assert not gate.cell.engine.alarms()[0].suppressed


@pytest.mark.parametrize("missing", [("--for", "1h"), ("--comment", "noise")])
def test_nothing_is_shelved_without_time_and_reason(missing: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["shelve", "too-high", *missing])
    assert end.value.code == 2


async def test_out_of_service_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as gate:
        assert await call(gate, "service", "out", "too-high") == 1
        assert "say why, in a comment" in capsys.readouterr().err
        assert await call(gate, "service", "out", "too-high", "--comment", "sensor is broken") == 0
        assert capsys.readouterr().out.endswith("; it is normal, out of service\n")
        assert await call(gate, "service", "out", "too-high", "--comment", "again") == 1
        assert "alarm too-high is out of service already" in capsys.readouterr().err
        assert await call(gate, "service", "in", "too-high") == 0
        assert capsys.readouterr().out.endswith("; it is normal\n")
        assert await call(gate, "service", "in", "too-high") == 1
        assert "alarm too-high is in service already" in capsys.readouterr().err


async def test_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = configuration(tmp_path)
    (rule,) = given.rules
    latched = replace(rule, settings=rule.settings.model_copy(update={"latched": True}))
    async with running(tmp_path, replace(given, rules=(latched,))) as gate:
        assert await call(gate, "reset", "too-high") == 1
        assert "is not latched: there is nothing to reset" in capsys.readouterr().err
        gate.publish(True, 1, 81.0, "ok")
        assert await call(gate, "reset", "too-high") == 1
        assert "is unacknowledged: its condition still holds" in capsys.readouterr().err
        gate.publish(True, 2, 12.0, "ok")
        assert await call(gate, "reset", "too-high") == 1
        assert "is returned: acknowledge it first" in capsys.readouterr().err
        assert await call(gate, "ack", "too-high") == 0
        assert await call(gate, "alarms") == 0
        assert "normal, latched" in " ".join(capsys.readouterr().out.split())
        assert await call(gate, "reset", "too-high", "--comment", "valve changed") == 0
        out = capsys.readouterr().out
        assert out.startswith("too-high: reset by ")
        assert out.endswith("; it is normal\n")
        assert await call(gate, "reset", "to-high") == 1
        assert 'did you mean "too-high"?' in capsys.readouterr().err


async def test_watch_in_plain_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PLAIN_SECONDS", 0.1)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        watching = asyncio.create_task(call(gate, "watch", "press-1/pressure", "press-1/run", "--json"))
        seen = ""
        while seen.count("\n") < 2:
            seen += capsys.readouterr().out
            await asyncio.sleep(0.001)
    assert await watching == 1  # the gateway has ended
    assert [json.loads(line)["value"] for line in seen.splitlines()] == [81.0, True]
    assert "has ended" in capsys.readouterr().out


def test_board() -> None:
    board = Board()
    for second, pressure in enumerate([0.0, 5.0, 10.0]):
        board.take([TagReading("press-1/pressure", pressure, "bar", "good", 0, False, second, second)])
    board.take([TagReading("press-1/label", "\x1b]0;owned\x07[red]", "", "good", 0, False, 1, 1)])
    board.take([TagReading("press-1/pressure", None, "bar", "bad", 1 << 31, False, 4, 4)])
    text = shown(board.table())
    assert "▁▅█" in text
    assert "\x1b" not in text
    assert "[red]" in text
    assert "bad" in text


def shown(what: object) -> str:
    out = Console(file=io.StringIO(), width=100, highlight=False)
    out.print(what)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_overview_fits_a_hundred_columns() -> None:
    reason = "cannot connect to 192.0.2.10:502: no route to host " * 4
    status = Status(
        site="plant-1",
        cell="line-a",
        time=10**18,
        started=10**18 - 10**15,
        generation=GenerationStatus(12, "3f2a9c01" * 8, 10**18, "what is on the disk is refused: " + reason),
        lag_s=0.0004,
        failure="No space left on device",
        journal_bytes=67_108_864,
        links=(LinkStatus("press-bus", "modbus", False, reason, 12, 1234),),
        devices=(DeviceStatus("press-1", "press-bus", "quarantined", reason, 1, 10**5, 10**7, 3, 0, None, None),),
        sinks=(SinkStatus("cloud", False, reason, 10**7, 9 * 10**6, 10**6, 12, 0, 999, 4000.0),),
        alarms=(AlarmEntry("bearing-hot", "pump-1/bearing.t", "acknowledged", True, "high", reason, 81.25, 1),),
    )
    out = Console(file=io.StringIO(), width=100, highlight=False)
    overview.show(status, out)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for word in (
        "generation 12 (3f2a9c01)",
        "is refused",
        "quarantined",
        "No space left on device",
        "1,000,000",
        "1 h 6 min",
        "81.25",
        "67.1 MB",
        "11 d 13 h",
    ):
        assert word in text


async def test_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    install(monkeypatch)
    plant = {"links": {"a": link()}, "devices": {"press": device("a", fast=60)}}
    async with workshop(tmp_path, **plant) as shop:
        shop.write(**plant | {"links": {"a": link(port=2), "b": link()}})
        assert await call(shop.gate, "reload") == 0
        assert capsys.readouterr().out.splitlines() == [
            "generation 2 is in force",
            "  links: 1 added: b, 1 changed: a",
            "  sinks: none",
            "  rules: none",
        ]
        assert await call(shop.gate, "reload", "--json") == 0
        assert json.loads(capsys.readouterr().out)["links"]["kept"] == 2


async def test_reload_of_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    install(monkeypatch)
    async with workshop(tmp_path, links={"a": link()}) as shop:
        shop.write(links={"a": link(prt=1)})
        assert await call(shop.gate, "reload") == 1
        place = f"{shop.path}:13:4: "
        assert capsys.readouterr().err.splitlines() == [
            f'{place}unknown key "prt" in links.a',
            '    did you mean "port"?',
            "refused: generation 1 stays in force",
        ]
        assert await call(shop.gate, "reload", "--json") == 1
        reply = json.loads(capsys.readouterr().out)
        assert (reply["number"], reply["problems"][0]["line"]) == (1, 13)
        assert await call(shop.gate, "status") == 0
        out = capsys.readouterr().out
        assert "generation 1 (" in out
        assert "what is on the disk is refused" in out.replace("\n", " ")
