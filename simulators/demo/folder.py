"""Where the demo works: a copy of `config/demo`, with ports that are free at this moment."""

from __future__ import annotations

import fcntl
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.demo.failure import DemoFailed

CONFIGURATION = Path(__file__).parents[2] / "config" / "demo"

# As they stand in the configuration, but for `director`. All lie below the ports that Linux gives to clients (32768 and
# up): a client that keeps calling a closed port among those is sooner or later given this very port as its own, and
# connects to itself. Nobody else is given the cloud's port while it is away, either.
PORTS = {
    "broker": 18830,
    "modbus": 15020,
    "opcua": 14840,
    "coap": 15683,
    "cloud": 18086,
    "director": 18087,
    "metrics": 18273,
}
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path
    ports: dict[str, int]

    @property
    def configuration(self) -> Path:
        return self.path / "edgeward.yaml"

    @property
    def logs(self) -> Path:
        return self.path / "logs"


@contextmanager
def prepare(path: Path) -> Iterator[Folder]:
    """A fresh folder; what an earlier demo left there is removed. Raises DemoFailed while another one uses it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"another demo runs in {path}") from None
        shutil.rmtree(path, ignore_errors=True)
        folder = Folder(path, _choose())
        folder.logs.mkdir(parents=True)
        for source in CONFIGURATION.glob("*.yaml"):
            (path / source.name).write_text(_renumber(source.read_text("utf-8"), folder.ports), "utf-8")
        yield folder


def _renumber(text: str, ports: dict[str, int]) -> str:
    """All at once: the new port of one may be the usual port of another."""
    wanted = {str(usual): str(ports[name]) for name, usual in PORTS.items()}
    return re.sub("|".join(wanted), lambda found: wanted[found[0]], text)


def _choose() -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name, usual in PORTS.items():
        candidates = (port for port in range(usual, usual + _TRIES) if port not in chosen.values())
        port = next(filter(_is_free, candidates), None)
        if port is None:
            raise DemoFailed(f"no port from {usual} to {usual + _TRIES - 1} is free for the {name}")
        chosen[name] = port
    return chosen


def _is_free(port: int) -> bool:
    """For TCP and for UDP, whichever is wanted."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what lingers is in nobody's way
        try:
            stream.bind(("127.0.0.1", port))
            datagram.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
