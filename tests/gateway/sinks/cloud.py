"""A small HTTP server on loopback that answers as it is told to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int


class Exchange(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Cloud

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, body, self.client_address[1]))
        with contextlib.suppress(OSError):
            self.server.script(self)

    do_PUT = do_POST  # noqa: N815 - what http.server looks for

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def hang(self) -> None:
        self.server.ended.wait()
        self.close_connection = True

    def trickle(self, start: bytes) -> None:
        """`start`, and then a byte at a time until the other side goes or the server ends."""
        self.wfile.write(start)
        while not self.server.ended.wait(0.005):
            self.wfile.write(b"x")
        self.close_connection = True

    def flood(self, size: int) -> None:
        """A body of `size` zeros. Counts what the other side took of it."""
        self.send_response(400)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        while self.server.flooded < size:
            self.wfile.write(bytes(65536))
            self.server.flooded += 65536

    def log_message(self, format: str, *args: object) -> None:
        pass


Script: TypeAlias = Callable[[Exchange], None]


class Cloud(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.requests: list[Request] = []
        self.script: Script = lambda exchange: exchange.answer(204)
        self.ended = threading.Event()
        self.flooded = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answers(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.script = lambda exchange: exchange.answer(status, body, **headers)


@contextlib.contextmanager
def cloud() -> Iterator[Cloud]:
    server = Cloud()
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.socket.close()
