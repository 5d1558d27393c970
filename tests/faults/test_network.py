"""The network does to a connection what it is told."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.parts.network import Cut, Network, network

pytestmark = [pytest.mark.slow, pytest.mark.real("iptables")]

_CALL = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5).close()
except OSError as error:
    sys.exit(type(error).__name__)
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    with network() as made:
        yield made


def call(made: Network, port: int) -> str:
    """What somebody inside meets who connects to us; nothing if that works."""
    command = [*made.enter, sys.executable, "-c", _CALL, made.here, str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stderr.strip()


@pytest.mark.parametrize(
    ("how", "meets"),
    [
        (Cut.BOTH, "TimeoutError"),
        (Cut.REQUESTS, "TimeoutError"),
        (Cut.REPLIES, "TimeoutError"),
        (Cut.RESET, "ConnectionRefusedError"),
        (Cut.UNPLUGGED, "TimeoutError"),
    ],
)
def test_it_cuts_and_heals(made: Network, how: Cut, meets: str) -> None:
    with socket.create_server((made.here, 0)) as server:
        port = server.getsockname()[1]
        assert call(made, port) == ""
        made.cut(how, port)
        assert call(made, port) == meets
        made.heal()
        assert call(made, port) == ""


def test_it_cuts_one_port_only(made: Network) -> None:
    with socket.create_server((made.here, 0)) as one, socket.create_server((made.here, 0)) as other:
        made.cut(Cut.BOTH, one.getsockname()[1])
        assert call(made, one.getsockname()[1])
        assert call(made, other.getsockname()[1]) == ""
        made.heal()
