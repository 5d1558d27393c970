"""nats-server of Debian with JetStream, and what a stream holds, asked over a plain socket."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from tests.parts.process import Part, find, free_port

STREAM = "plant"


class Kept(NamedTuple):
    """A message that a stream holds."""

    subject: str
    id: str
    body: bytes


class Nats(Part):
    """A server with its files in `folder`. `more` stands in its configuration; `login` is how we ask it ourselves."""

    def __init__(self, folder: Path, more: str = "", login: dict[str, str] | None = None, port: int = 0) -> None:
        program = find("nats-server", "nats-server")
        port = port or free_port()
        self.folder = folder
        self._login = login or {}
        monitor = free_port()
        lines = [
            f"listen: 127.0.0.1:{port}",
            f"http: 127.0.0.1:{monitor}",
            f'jetstream {{ store_dir: "{folder}/store", max_file: 256MB, max_mem: 64MB }}',
            more,
        ]
        config = folder / "nats.conf"
        config.write_text("\n".join(lines))
        super().__init__([program, "-c", str(config)], port, folder / "nats.log")
        self.wait(lambda: _is_healthy(monitor))

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def make(self, name: str = STREAM, **settings: Any) -> None:
        """A new stream, empty; in seconds and bytes as the server counts them: nanoseconds."""
        self.ask(f"$JS.API.STREAM.DELETE.{name}")
        body = {"name": name, "subjects": ["edgeward.>"], "storage": "file", "max_msgs": -1, "max_bytes": -1}
        found = self.ask(f"$JS.API.STREAM.CREATE.{name}", body | settings)
        assert "error" not in found, found

    def look(self, name: str = STREAM) -> dict[str, Any]:
        """Configuration and state of a stream."""
        return self.ask(f"$JS.API.STREAM.INFO.{name}")

    def kept(self, name: str = STREAM) -> list[Kept]:
        """Every message of a stream, in order."""
        state = self.look(name)["state"]
        asked = [{"seq": seq} for seq in range(max(state["first_seq"], 1), state["last_seq"] + 1)]
        answers = [answer["message"] for answer in self._ask(f"$JS.API.STREAM.MSG.GET.{name}", asked)]
        return [Kept(each["subject"], _id(each), base64.b64decode(each.get("data", ""))) for each in answers]

    def ask(self, subject: str, body: object = None) -> dict[str, Any]:
        (answer,) = self._ask(subject, [body])
        return answer

    def _ask(self, subject: str, bodies: list[Any]) -> list[dict[str, Any]]:
        """A request each, one after another, in the protocol of https://docs.nats.io/reference/reference-protocols."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link, link.makefile("rwb") as wire:
            assert wire.readline().startswith(b"INFO")
            hello = json.dumps({"verbose": False, "pedantic": False, **self._login})
            wire.write(f"CONNECT {hello}\r\nSUB _INBOX.test 1\r\n".encode())
            return [
                self._exchange(wire, subject, b"" if body is None else json.dumps(body).encode()) for body in bodies
            ]

    def _exchange(self, wire: Any, subject: str, body: bytes) -> dict[str, Any]:
        wire.write(f"PUB {subject} _INBOX.test {len(body)}\r\n".encode() + body + b"\r\n")
        wire.flush()
        while not (line := wire.readline()).startswith(b"MSG"):
            assert line.startswith((b"PING", b"INFO")), line
            if line.startswith(b"PING"):
                wire.write(b"PONG\r\n")
                wire.flush()
        answer: dict[str, Any] = json.loads(wire.read(int(line.split()[-1])))
        wire.readline()
        return answer


def _is_healthy(monitor: int) -> bool:
    """Once JetStream has its streams back."""
    with urlopen(f"http://127.0.0.1:{monitor}/healthz", timeout=1) as answer:
        return bool(answer.status == 200)


def _id(message: dict[str, Any]) -> str:
    headers = base64.b64decode(message.get("hdrs", "")).decode()
    return next((line.partition(": ")[2] for line in headers.split("\r\n") if line.startswith("Nats-Msg-Id")), "")


@contextlib.contextmanager
def nats_server(folder: Path, more: str = "", login: dict[str, str] | None = None, port: int = 0) -> Iterator[Nats]:
    part = Nats(folder, more, login, port)
    try:
        yield part
    finally:
        part.stop()
