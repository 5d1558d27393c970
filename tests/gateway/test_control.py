"""The control door: what it answers, and that nobody who comes to it can hurt the gateway."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from gateway import control
from gateway.control import Control
from gateway.door import MAX_REQUEST
from gateway.errors import ConfigError
from tests.gateway.gate import FakeDriver, Gate, fake_plugins, running, wait_until

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)


async def lives(gate: Gate) -> None:
    """The gateway still answers."""
    assert (await gate.ask(ask="read", tag="press-1/run"))["answer"] == "readings"


@pytest.mark.parametrize("turns", [0, 2, 3, 4, 5])  # after one turn asyncio itself leaves them open
async def test_caller_who_comes_as_the_gateway_ends(tmp_path: Path, turns: int) -> None:
    """Accepted, and then nobody was there to be asked."""
    async with running(tmp_path) as gate:
        callers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for caller in callers:
            caller.connect(str(gate.control.path))
        for _ in range(turns):
            await asyncio.sleep(0)
    gc.collect()
    for caller in callers:
        caller.close()


# What it answers


async def test_read(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, (1 << 64) - 1, 12.5, "ok")
        answer = await gate.ask(ask="read", tag="press-1/total")
        (reading,) = answer["readings"]
        assert reading["value"] == (1 << 64) - 1  # exact, which a float would not be
        assert (reading["quality"], reading["stale"], reading["status"]) == ("good", False, 0)
        (reading,) = (await gate.ask(ask="read", tag="press-1/pressure"))["readings"]
        assert (reading["value"], reading["unit"]) == (12.5, "bar")


async def test_read_of_what_never_was(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        (reading,) = (await gate.ask(ask="read", tag="press-1/label"))["readings"]
        assert (reading["value"], reading["quality"], reading["gateway_time"]) == (None, "bad", 0)


async def test_value_that_is_no_number(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, float("nan"), "ok")
        (reading,) = (await gate.ask(ask="read", tag="press-1/pressure"))["readings"]
        assert (reading["value"], reading["quality"]) == (None, "bad")


async def test_unknown_tag(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        for request in ({"ask": "read"}, {"ask": "write", "value": 1}):
            answer = await gate.ask(**request, tag="press-1/presure")
            assert answer["message"] == 'there is no tag "press-1/presure"'
            assert answer["hint"] == 'did you mean "press-1/pressure"?'


async def test_write(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        events: list[object] = []
        gate.cell.bus.told.append(events.append)
        answer = await gate.ask(ask="write", tag="press-1/pressure", value=100)
        assert (answer["outcome"], answer["value"], answer["reason"]) == ("done", 100.0, "")
        driver = gate.cell.links["press-bus"]._driver
        assert isinstance(driver, FakeDriver)
        assert driver.written == [("press-1/pressure", 100.0)]
        assert [event.origin for event in events] == [f"user:{ME}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("press-1/label", "x", "press-1/label is not writable"),
        ("press-1/run", 1, "press-1/run takes a bool, not int"),
        ("press-1/pressure", 401, "the value is outside the range of press-1/pressure, 0 to 400"),
        ("press-1/total", -1, "the value does not fit press-1/total, which is uint64"),
    ],
)
async def test_write_refused(tmp_path: Path, tag: str, value: object, reason: str) -> None:
    async with running(tmp_path) as gate:
        answer = await gate.ask(ask="write", tag=tag, value=value)
        assert (answer["outcome"], answer["reason"]) == ("refused", reason)


async def test_write_refused_by_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDriver, "refusal", "locked by the operator")
    async with running(tmp_path) as gate:
        answer = await gate.ask(ask="write", tag="press-1/run", value=True)
        assert (answer["outcome"], answer["reason"]) == ("refused", "locked by the operator")


async def test_alarm_is_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        (alarm,) = (await gate.ask(ask="alarms"))["alarms"]
        assert (alarm["alarm"], alarm["state"], alarm["value"]) == ("too-high", "unacknowledged", 81.0)
        answer = await gate.ask(ask="ack", alarm="too-high")
        assert (answer["previous"], answer["state"], answer["user"]) == ("unacknowledged", "acknowledged", ME)
        again = await gate.ask(ask="ack", alarm="too-high")
        assert again["message"] == "alarm too-high is acknowledged: there is nothing to acknowledge"


async def test_unknown_alarm(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        answer = await gate.ask(ask="ack", alarm="to-high")
        assert (answer["answer"], answer["hint"]) == ("error", 'did you mean "too-high"?')


async def test_tags(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        tags = (await gate.ask(ask="tags"))["tags"]
        assert {"tag": "press-1/run", "type": "bool", "unit": "", "writable": True, "description": ""} in tags


async def test_status(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        status = (await gate.ask(ask="status"))["status"]
        assert isinstance(status, dict)
        assert (status["site"], status["cell"], status["failure"]) == ("plant-1", "line-a", "")
        assert status["links"][0]["online"]
        assert (status["devices"][0]["state"], status["devices"][0]["points"]) == ("online", 4)
        assert status["alarms"][0]["alarm"] == "too-high"


# A watch


async def test_watch_tells_what_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        reader, writer = await gate.connect()
        writer.write(b'{"ask": "watch", "tags": ["press-1/pressure"], "interval": 0.1}\n')
        first = json.loads(await reader.readline())
        assert [each["value"] for each in first["readings"]] == [None]
        gate.publish(True, 1, 7.5, "ok")
        second = json.loads(await reader.readline())
        assert [(each["tag"], each["value"]) for each in second["readings"]] == [("press-1/pressure", 7.5)]
        writer.close()


async def test_watch_of_all(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        assert len((await gate.ask(ask="watch"))["readings"]) == 4


async def test_watch_of_unknown_tag(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        answer = await gate.ask(ask="watch", tags=["press-1/run", "press-1/nu"])
        assert answer["message"] == 'there is no tag "press-1/nu"'


async def test_watcher_who_hangs_up_is_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        reader, writer = await gate.connect()
        writer.write(b'{"ask": "watch", "interval": 3600}\n')
        await reader.readline()
        assert gate.control.callers == 1
        writer.close()
        await wait_until(lambda: gate.control.callers == 0)


# Hostile callers


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b'{"ask": "shutdown"}',
        b'{"ask": "read"}',
        b'{"ask": "read", "tag": 5}',
        b'{"ask": "read", "tag": "x", "more": 1}',
        b'{"ask": "read", "tag": "%s"}' % (b"x" * 600),
        b'{"ask": "write", "tag": "press-1/run", "value": null}',
        b'{"ask": "write", "tag": "press-1/run", "value": NaN}',
        b'{"ask": "write", "tag": "press-1/pressure", "value": 1e999}',
        b'{"ask": "write", "tag": "press-1/pressure", "value": 1%s}' % (b"0" * 400),
        b'{"ask": "watch", "interval": 0}',
        b"[" * 5000,
    ],
)
async def test_nonsense_is_answered(tmp_path: Path, line: bytes) -> None:
    async with running(tmp_path) as gate:
        reader, writer = await gate.connect()
        writer.write(line + b"\n")
        assert json.loads(await reader.readline())["answer"] == "error"
        writer.write(b'{"ask": "tags"}\n')
        assert json.loads(await reader.readline())["answer"] == "tags"
        writer.close()


async def test_endless_line_ends_the_call(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        reader, writer = await gate.connect()
        writer.write(b"x" * (MAX_REQUEST * 2))
        assert "at most 65536 bytes" in json.loads(await reader.readline())["message"]
        assert await reader.read() == b""
        writer.close()
        await lives(gate)


async def test_silent_caller_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_IDLE_SECONDS", 0.01)
    async with running(tmp_path) as gate:
        reader, writer = await gate.connect()
        assert await reader.read() == b""
        writer.close()


async def test_caller_who_does_not_listen_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_SEND_SECONDS", 0.01)
    monkeypatch.setattr(control, "_CLOSE_SECONDS", 0.01)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 1.0, "x" * 100_000)
        deaf = socket.socket(socket.AF_UNIX)
        await asyncio.to_thread(deaf.connect, str(gate.control.path))
        deaf.sendall(b'{"ask": "read", "tag": "press-1/label"}\n' * 50)
        await wait_until(lambda: gate.control.callers == 1)
        await wait_until(lambda: gate.control.callers == 0)
        deaf.close()
        await lives(gate)


async def test_callers_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_MOST_CALLERS", 2)
    async with running(tmp_path) as gate:
        calls = [await gate.connect() for _ in range(2)]
        await wait_until(lambda: gate.control.callers == 2)
        reader, writer = await gate.connect()
        assert json.loads(await reader.readline())["message"] == "2 callers are here already"
        assert await reader.read() == b""
        for _, each in [*calls, (reader, writer)]:
            each.close()
        await wait_until(lambda: gate.control.callers == 0)
        await lives(gate)


async def test_stranger_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as gate:
        monkeypatch.setattr(control, "peer", lambda connection: 54_321)
        answer = await gate.ask(ask="write", tag="press-1/run", value=True)
        assert answer["message"] == "user id 54321 may not talk to this gateway"
        driver = gate.cell.links["press-bus"]._driver
        assert isinstance(driver, FakeDriver)
        assert driver.written == []


async def test_peer_is_known_by_the_kernel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert control.peer(ours) == os.geteuid()


async def test_bug_behind_the_door_ends_only_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as gate:
        with monkeypatch.context() as patch:
            patch.setattr(gate.cell.engine, "alarms", lambda: 1 // 0)
            reader, writer = await gate.connect()
            writer.write(b'{"ask": "alarms"}\n')
            assert await reader.read() == b""
            writer.close()
        assert "a request at the control door failed" in caplog.text
        await lives(gate)


# The socket


async def test_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        path = gate.control.path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_stale_socket_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    async with running(tmp_path) as gate:
        await lives(gate)


async def test_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        with pytest.raises(ConfigError, match="another gateway answers at"):
            await asyncio.to_thread(Control(gate.cell, gate.reloader, gate.control.path).open)
        await lives(gate)


async def test_something_else_in_the_way(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        path = tmp_path / "file"
        path.write_text("mine")
        with pytest.raises(ConfigError, match="it is not a socket"):
            Control(gate.cell, gate.reloader, path).open()
        assert path.read_text() == "mine"


async def test_long_path(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        with pytest.raises(ConfigError, match=r"and 107 at most; choose a shorter data directory"):
            Control(gate.cell, gate.reloader, tmp_path / ("x" * 108)).open()
