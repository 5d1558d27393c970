"""libcoap: a CoAP server and a client that we did not write."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.process import Part, find, free_port

PACKAGE = "libcoap3-bin"

_RESPONSE = re.compile(rb"^v:1 t:(?:ACK|CON|NON) c:([2-5]\.\d\d) .*?(?: :: '(.*)')?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What coap-client was answered: the last response's code, empty if there was none, and payload."""

    code: str
    payload: bytes


_NONE = Answer("", b"")


class CoapServer(Part):
    """coap-server. `/time` can be observed and is new every second (Max-Age 1), `/example_data` has 1,500 bytes in two
    blocks, `/async` is answered late, and what is PUT anywhere else becomes a resource."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        port = port or free_port(socket.SOCK_DGRAM)
        command = [find("coap-server-notls", PACKAGE), "-A", "127.0.0.1", "-p", str(port), "-d", "50", *options]
        super().__init__(command, port, folder / "coap-server.log")
        self.wait(lambda: pongs(port))

    def put(self, path: str, payload: str) -> None:
        assert ask("put", self.port, path, payload).code in ("2.01", "2.04")

    def get(self, path: str) -> str:
        return ask("get", self.port, path).payload.decode()


def pongs(port: int, host: str = "127.0.0.1") -> bool:
    """True once somebody answers a CoAP ping there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((host, port))
        sock.send(bytes.fromhex("40004711"))
        return sock.recv(64) == bytes.fromhex("70004711")


def command(method: str, port: int, path: str, payload: str | bytes | None = None, *options: str) -> list[str]:
    """coap-client's command line. It exits 0 whatever happens, so it is asked to tell all that it hears."""
    sent = [] if payload is None else ["-f", "-"]
    uri = f"coap://127.0.0.1:{port}{path}"
    return [find("coap-client-notls", PACKAGE), "-v", "7", "-B", "10", "-m", method, *sent, *options, uri]


def answers(output: bytes) -> list[Answer]:
    """Every response that coap-client told of."""
    return [Answer(code.decode(), payload) for code, payload in _RESPONSE.findall(output)]


def ask(method: str, port: int, path: str, payload: str | bytes | None = None, *options: str) -> Answer:
    """One request of coap-client's, and what it was answered."""
    body = payload.encode() if isinstance(payload, str) else payload
    done = subprocess.run(
        command(method, port, path, payload, *options),
        input=body,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
    )
    return (answers(done.stdout) or [_NONE])[-1]


async def ask_beside(method: str, port: int, path: str, payload: str | bytes | None = None, *options: str) -> Answer:
    """The same, while the event loop goes on."""
    body = payload.encode() if isinstance(payload, str) else payload
    process = await asyncio.create_subprocess_exec(
        *command(method, port, path, payload, *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(body)
    return (answers(output) or [_NONE])[-1]


@pytest.fixture
def coap_server(tmp_path: Path) -> Iterator[CoapServer]:
    server = CoapServer(tmp_path)
    yield server
    server.stop()
