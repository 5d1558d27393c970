"""UDP sockets as CoAP needs them, and what the kernel tells about a datagram.

A burst of reports waits in the socket's receive buffer, and what does not fit is lost without a word. We ask for
`RECEIVE_BUFFER` bytes; Linux grants no more than `net.core.rmem_max`, so raise that where many devices report at once.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

RECEIVE_BUFFER = 4 * 1024 * 1024
ANCILLARY_SPACE = 64

Ancillary: TypeAlias = Sequence[tuple[int, int, bytes]]
SocketAddress: TypeAlias = tuple[Any, ...]
"""As the kernel gives it: host and port, and for IPv6 flow and scope."""

_IP_PKTINFO = 8  # on Linux; Python names it from 3.13 on
_IN_PKTINFO = struct.Struct("=I4s4s")  # ip(7): interface, our own address, the address that it was sent to
_IN6_PKTINFO = struct.Struct("=16sI")  # RFC 3542, 6: the address that it was sent to, interface


async def resolve(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Families and addresses of a name, the best first. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "this is no name of a host") from error
    return [(family, address) for family, _, _, _, address in found]


def connect(family: int, address: SocketAddress) -> socket.socket:
    """A socket that hears nobody but `address`, and hears when nobody is there. Raises OSError."""
    sock = _make(family)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def bind(family: int, address: SocketAddress) -> socket.socket:
    """A socket that anybody may send to, and that nobody else may share. Raises OSError."""
    sock = _make(family)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def way_back(ancillary: Ancillary) -> Ancillary | None:
    """What to send along with an answer, so that it leaves from the address that was asked. None for what was sent to
    more than one, by multicast or broadcast."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) == _IN_PKTINFO.size:
            _, ours, destination = _IN_PKTINFO.unpack(data)
            back = _IN_PKTINFO.pack(0, ours, bytes(4))
            return [(level, kind, back)] if ours == destination else None
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) == _IN6_PKTINFO.size:
            destination, _ = _IN6_PKTINFO.unpack(data)
            back = _IN6_PKTINFO.pack(destination, 0)
            return None if _is_multicast(destination) else [(level, kind, back)]
    return []


def _is_multicast(address: bytes) -> bool:
    found = ipaddress.IPv6Address(address)
    mapped = found.ipv4_mapped
    return found.is_multicast or (mapped is not None and mapped.is_multicast)


def _make(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return sock
