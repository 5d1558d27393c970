"""paho's socket on the event loop, without paho's thread.

paho's calls into us only hand data over. What goes wrong inside of one must end the session: neither paho nor asyncio
may swallow it and leave a session behind that only seems to be alive.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from paho.mqtt.client import Client

from gateway.errors import ConnectionLost, GatewayError

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

BATCH = 32
"""Packets taken in one turn of the loop: about half a millisecond's worth."""


class Pump:
    """Moves bytes between one paho client and its socket. `fail` is told what ended it."""

    def __init__(self, paho: Client, fail: Callable[[GatewayError], None]) -> None:
        self._paho = paho
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._poll = select.poll()
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Serve the socket of a client that has just connected. Raises ConnectionLost where it is gone already."""
        sock = self._paho.socket()
        if sock is None:
            raise ConnectionLost("the connection was closed at once")
        self._heard = self._loop.time()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._paho.on_socket_close = self._on_close
        self._paho.on_socket_register_write = self._on_full
        self._paho.on_socket_unregister_write = self._on_idle
        self._loop.add_reader(sock.fileno(), self._guard, self._receive)
        self._look_later()

    def _look_later(self) -> None:
        period = min(1.0, self._paho.keepalive / 4)
        self._timer = self._loop.call_later(period, self._guard, self._probe)

    def _probe(self) -> None:
        """Keeps the connection alive, and finds out when it is dead.

        paho asks for a sign of life after one keep-alive period without a byte from the broker, but waits another one
        for the answer. Here half a period is enough. What we send ourselves is no sign of life: into a connection that
        the network has forgotten, sending goes on well for a long time.
        """
        self._paho.loop_misc()
        silent = self._loop.time() - self._heard
        if 0 < 1.5 * self._paho.keepalive < silent:
            self._break(ConnectionLost(f"no byte from the broker for {silent:.0f} s"))
        elif self._paho.socket() is not None:
            self._look_later()

    def stop(self) -> None:
        """Close the socket, whatever was still to be sent; the second time, nothing is left to do."""
        if self._timer is not None:
            self._timer.cancel()
        sock = self._paho.socket()
        if sock is None or sock.fileno() < 0:
            return
        self._on_close(self._paho, None, sock)
        self._paho.on_socket_close = None
        self._paho.on_socket_register_write = None
        self._paho.on_socket_unregister_write = None
        sock.close()

    def _on_close(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())

    def _on_full(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._loop.add_writer(sock.fileno(), self._guard, self._paho.loop_write)

    def _on_idle(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._loop.remove_writer(sock.fileno())

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except GatewayError as error:
            self._break(error)
        except Exception as error:  # noqa: BLE001 - asyncio would only log it, and paho take the same packet again
            lost = ConnectionLost(f"receiving failed: {error!r}")
            lost.__cause__ = error
            self._break(lost)

    def _break(self, error: GatewayError) -> None:
        self._fail(error)
        self.stop()

    def _receive(self) -> None:
        """Take the packets that have arrived, but leave the others on the loop their turn."""
        self._heard = self._loop.time()
        for _ in range(BATCH):
            self._paho.loop_read()
            sock = self._paho.socket()
            # TLS may have taken more from the socket than one packet. What it holds back wakes no selector.
            held = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            if sock is None or not (held or self._poll.poll(0)):
                return
        self._loop.call_soon(self._guard, self._resume)

    def _resume(self) -> None:
        if self._paho.socket() is not None:
            self._receive()
