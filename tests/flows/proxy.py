"""A network that fails as networks do: a TCP proxy on loopback that can reset, swallow and delay."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum

_CHUNK = 65_536


class Mode(Enum):
    PASS = "pass"
    RESET = "reset"
    """Every connection, old or new, is reset."""
    SWALLOW = "swallow"
    """Half open: connections stand and nothing comes through. Those that were swallowed from never recover."""
    DELAY = "delay"
    """Everything comes late."""


class Proxy:
    """`loses` says of a piece of what goes to the far end whether the network loses it. `sent` holds everything that
    went through to the far end, connection by connection."""

    def __init__(self, target: int, delay_s: float = 0.2, port: int = 0) -> None:
        self.sent: list[bytearray] = []
        self.loses: Callable[[bytes], bool] = lambda data: False
        self._target = target
        self._delay_s = delay_s
        self._mode = Mode.PASS
        self._threads: list[threading.Thread] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._swallowed: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._begin(self._accept)

    def turn(self, mode: Mode) -> None:
        with self._lock:
            self._mode = mode
            if mode is Mode.SWALLOW:
                self._swallowed |= {end for pair in self._pairs for end in pair}
            pairs = list(self._pairs)
        if mode is Mode.RESET:
            for pair in pairs:
                _reset(*pair)

    def close(self) -> None:
        self.turn(Mode.RESET)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _begin(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            _reset(near)
            near.close()
            return
        far.settimeout(None)
        record = bytearray()
        with self._lock:
            self._pairs.append((near, far))
            self.sent.append(record)
            if self._mode is Mode.SWALLOW:
                self._swallowed |= {near, far}
            refused = self._mode is Mode.RESET
        if refused:
            _reset(near, far)
        self._begin(self._pump, near, far, record)
        self._begin(self._pump, far, near, None)

    def _pump(self, source: socket.socket, sink: socket.socket, record: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._mode is Mode.DELAY:
                    time.sleep(self._delay_s)  # what is tested is slowness itself
                if source in self._swallowed or (record is not None and self.loses(data)):
                    continue
                sink.sendall(data)
                if record is not None:
                    record += data
            if source not in self._swallowed:
                sink.shutdown(socket.SHUT_WR)


def _reset(*ends: socket.socket) -> None:
    """RST instead of FIN: closed with a linger of 0; shut down first, so that whoever waits on it wakes up."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
            end.close()


@contextlib.contextmanager
def proxy(target: int, delay_s: float = 0.2, port: int = 0) -> Iterator[Proxy]:
    made = Proxy(target, delay_s, port)
    try:
        yield made
    finally:
        made.close()
