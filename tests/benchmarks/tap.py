"""Stands before an HTTP server and notes when it has taken what: `tap.py PORT TARGET RECORD`. A process of its own, so
that its work delays nobody's.

Each request whose answer was 204 adds to RECORD a line with the time of the answer, in nanoseconds UTC, and the length
of the body, and then the body. Prints when it began to listen; until then its port refuses. Ends by SIGTERM.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_END = b"\r\n\r\n"


class Messages:
    """What comes over a connection, cut into heads and bodies."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._data = bytearray()

    def next(self) -> tuple[bytes, bytes] | None:
        """None where the other side has hung up."""
        while _END not in self._data:
            if not self._receive():
                return None
        head = bytes(self._data[: self._data.index(_END) + len(_END)])
        del self._data[: len(head)]
        length = _length(head)
        while len(self._data) < length:
            if not self._receive():
                return None
        body = bytes(self._data[:length])
        del self._data[:length]
        return head, body

    def _receive(self) -> bool:
        data = self._end.recv(1 << 18)
        self._data += data
        return bool(data)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


class Tap:
    def __init__(self, target: int, record: BinaryIO) -> None:
        self._target = target
        self._record = record
        self._lock = threading.Lock()

    def serve(self, near: socket.socket) -> None:
        """One connection, to its end."""
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            requests, answers = Messages(near), Messages(far)
            while (request := requests.next()) is not None:
                far.sendall(b"".join(request))
                answer = answers.next()
                if answer is None:
                    return
                if answer[0].split(b" ", 2)[1] == b"204":
                    self._note(request[1])
                near.sendall(b"".join(answer))

    def _note(self, body: bytes) -> None:
        with self._lock:
            self._record.write(b"%d %d\n" % (time.time_ns(), len(body)))
            self._record.write(body)
            self._record.flush()


def read(record: Path) -> Iterator[tuple[int, bytes]]:
    """Time and body of each request that was taken. One that is still being noted is left out."""
    with record.open("rb") as file:
        while (line := file.readline()).endswith(b"\n"):
            taken, length = (int(word) for word in line.split())
            body = file.read(length)
            if len(body) == length:
                yield taken, body


def main(port: int, target: int, record: Path) -> None:
    with record.open("ab") as file, socket.create_server(("127.0.0.1", port)) as server:
        tap = Tap(target, file)
        sys.stdout.write(f"{time.time_ns()}\n")
        sys.stdout.flush()
        while True:
            near, _ = server.accept()
            threading.Thread(target=tap.serve, args=(near,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
