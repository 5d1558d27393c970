"""A network of the kernel's own: a namespace to run somebody in, and a router between there and us that can lose, reset
and be unplugged.

    inside (namespace) ── router (namespace) ── here

Nothing of it can be reached from other machines, and what the router does touches nothing but what passes through it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from enum import Enum
from ipaddress import IPv4Network
from typing import NoReturn

import pytest

from tests.parts.process import find

# RFC 2544 sets these addresses apart for tests of networks. Each process takes eight of its own.
_ADDRESSES = IPv4Network("198.18.0.0/15")
_EACH = 8


class Cut(Enum):
    """What the router does to what passes between the inside and a port here. It loses, or resets, what goes..."""

    BOTH = "dropped both ways"
    REQUESTS = "dropped on the way out"
    REPLIES = "dropped on the way back"
    RESET = "reset"
    UNPLUGGED = "unplugged"
    """Everything, whatever the port."""


_LOSE = ["-j", "DROP"]
_REJECT = ["-j", "REJECT", "--reject-with", "tcp-reset"]
_RULES: dict[Cut, Sequence[tuple[str, Sequence[str]]]] = {
    Cut.BOTH: [("--dport", _LOSE), ("--sport", _LOSE)],
    Cut.REQUESTS: [("--dport", _LOSE)],
    Cut.REPLIES: [("--sport", _LOSE)],
    Cut.RESET: [("--dport", _REJECT), ("--sport", _REJECT)],
    Cut.UNPLUGGED: [],
}


class Network:
    def __init__(self) -> None:
        """Raises OSError where the kernel, or somebody who watches over it, does not allow it."""
        self._ip = find("ip", "iproute2")
        self._iptables = find("iptables", "iptables")
        find("nsenter", "util-linux")
        tag = f"ew{os.getpid()}"
        self._inside, self._router = f"{tag}-inside", f"{tag}-router"
        self._plugs = (f"{tag}a", f"{tag}b", f"{tag}c", f"{tag}d")
        first = os.getpid() * _EACH % _ADDRESSES.num_addresses
        self._addresses = [str(_ADDRESSES[first + n]) for n in range(_EACH)]
        self.here = self._addresses[1]
        """The address at which we are reached from the inside."""

    @property
    def enter(self) -> tuple[str, ...]:
        """What the command of somebody who runs inside begins with."""
        return ("nsenter", f"--net=/run/netns/{self._inside}")

    def open(self) -> None:
        near, far, front, back = self._plugs
        for name in (self._inside, self._router):
            self._run("netns", "add", name)
            self._run("-n", name, "link", "set", "lo", "up")
        self._run("link", "add", near, "type", "veth", "peer", "name", far, "netns", self._router)
        self._run("-n", self._inside, "link", "add", front, "type", "veth", "peer", "name", back, "netns", self._router)
        plugs = [((), near), (("-n", self._router), far), (("-n", self._router), back), (("-n", self._inside), front)]
        for (where, plug), position in zip(plugs, (1, 2, 5, 6), strict=True):
            self._run(*where, "addr", "add", f"{self._addresses[position]}/30", "dev", plug)
            self._run(*where, "link", "set", plug, "up")
        self._run("route", "add", f"{self._addresses[4]}/30", "via", self._addresses[2])
        self._run("-n", self._inside, "route", "add", "default", "via", self._addresses[5])
        self._call(*self._enter_router(), "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    def cut(self, how: Cut, port: int) -> None:
        """From now on, until `heal`."""
        append = (*self._enter_router(), self._iptables, "-w", "-A", "FORWARD", "-p", "tcp")
        for direction, verdict in _RULES[how]:
            self._call(*append, direction, str(port), *verdict)
        if how is Cut.UNPLUGGED:
            self._run("-n", self._router, "link", "set", self._plugs[3], "down")

    def heal(self) -> None:
        self._call(*self._enter_router(), self._iptables, "-w", "-F", "FORWARD")
        self._run("-n", self._router, "link", "set", self._plugs[3], "up")

    def close(self) -> None:
        """With a namespace its end of a cable goes, and with that the other end."""
        for name in (self._inside, self._router):
            with contextlib.suppress(OSError):
                self._run("netns", "del", name)
        with contextlib.suppress(OSError):
            self._run("link", "del", self._plugs[0])  # is still there only if there never was a router

    def _enter_router(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self._router}")

    def _run(self, *arguments: str) -> None:
        self._call(self._ip, *arguments)

    def _call(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Skips the test where it may not be made, and fails it in CI."""
    if os.geteuid() != 0:
        _give_up("network namespaces are made by root")
    made = Network()
    try:
        try:
            made.open()
        except OSError as error:
            _give_up(f"network namespaces are not to be had: {error}")
        yield made
    finally:
        made.close()


def _give_up(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
