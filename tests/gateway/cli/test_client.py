"""The client at a door whose other side does not behave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.client import CallFailed, Client
from gateway.door import AlarmsReply, AskAlarms, AskStatus, StatusReply


@contextmanager
def answering(path: Path, content: bytes) -> Iterator[Client]:
    """Somebody who says one thing to one caller, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        thread = threading.Thread(target=answer)
        thread.start()
        yield Client(path)
        thread.join()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has ended"),
        (b"hello\n", "cannot be understood"),
        (b'{"answer": "status", "status": {"site": 5}}\n', "cannot be understood"),
        (b'{"answer": "alarms", "alarms": []}\n', "answered something else: AlarmsReply"),
        (b'{"answer": "error", "message": "no", "hint": "why"}\n', "no"),
    ],
)
def test_strange_answers(tmp_path: Path, content: bytes, message: str) -> None:
    with answering(tmp_path / "s", content) as client, pytest.raises(CallFailed, match=message):
        client.ask(AskStatus(), StatusReply)


def test_answer(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b'{"answer": "alarms", "alarms": []}\n') as client:
        assert client.ask(AskAlarms(), AlarmsReply).alarms == ()


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(CallFailed, match="you may not talk to the gateway"):
        Client(tmp_path / "s").ask(AskStatus(), StatusReply)


def test_whether_somebody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    assert not Client(path).is_there
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert not Client(path).is_there  # left by a gateway that is no more
        listening.listen()
        assert Client(path).is_there

    def refuse(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Client(path).is_there
