"""Which addresses a sink may connect to: an allow-list against a URL, or a name server, that leads inside.

A name is looked up once, and the connection goes to the very address that was judged here: asked a second time, a
hostile name server would give another one (DNS rebinding).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from gateway.errors import ConnectionLost, SinkHeld

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_ADDRESSES = 16

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be connected to.

    `networks` may, whoever is there. The hosts in `names` may be anywhere in the world and in private networks. Where
    there is no list (`listed` is false), any other host may be anywhere in the world.
    """

    names: frozenset[str]
    networks: tuple[Network, ...]
    listed: bool

    @staticmethod
    def of(host: str, allow: Sequence[str]) -> Egress:
        """For a URL with that host. Without a list its own host is allowed: a private or loopback address only where
        it stands in the URL itself. Raises ValueError for an entry that is neither a name nor a network."""
        if allow:
            places = [parse(entry) for entry in allow]
            names = frozenset(place for place in places if isinstance(place, str))
            networks = tuple(place for place in places if not isinstance(place, str))
            return Egress(names, networks + (_LOOPBACK if host == "localhost" and host in names else ()), True)
        address = literal(host)
        if address is None:
            return Egress(frozenset(), _LOOPBACK if host == "localhost" else (), False)
        return Egress(frozenset(), () if address.is_link_local else (ip_network(address),), False)

    def veto(self, host: str) -> str:
        """Why a host will never be connected to, wherever it is; empty where that shows only when it is looked up."""
        address = literal(host)
        if address is not None:
            return self.objection(host, address)
        return "is not on the list under allow" if self.listed and not self.networks and host not in self.names else ""

    def objection(self, host: str, address: Address) -> str:
        """Why a host that is found at this address must not be connected to; empty where it may."""
        address = _innermost(address)
        if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
            return "is no address of a single host"
        if any(address in network for network in self.networks):
            return ""
        if address.is_link_local:
            return "is link-local, where clouds keep their secrets: list it under allow if it is meant"
        if address.is_loopback:
            return "is this computer itself: list it under allow if it is meant"
        if host in self.names:
            return ""
        if self.listed:
            return "is not on the list under allow"
        return "" if address.is_global else f"is not public: list {host} under allow if it is meant"

    def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host that may be connected to, at least one, in the system's order of preference. Raises
        `ConnectionLost` where there is no such host, and `SinkHeld` where all of its addresses are objected to."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionLost(f"{host} cannot be looked up: {error}") from error
        addresses = list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
        allowed = [address for address in addresses if not self.objection(host, address)]
        if not allowed:
            objections = [f"{address} {self.objection(host, address)}" for address in addresses]
            raise SinkHeld(f"nothing is sent to {host}: {objections[0] if objections else 'it has no address'}")
        return allowed


def parse(entry: str) -> str | Network:
    """An entry of an allow-list: the name of a host, an address, or a network such as 10.1.2.0/24."""
    try:
        return ip_network(entry)
    except ValueError as error:
        name = entry.lower().rstrip(".")
        if "/" in entry or not _NAME.fullmatch(name):
            raise ValueError(f"{entry} is neither a host, an address nor a network: {error}") from None
        return name


def literal(host: str) -> Address | None:
    """The address that a host is written as, if it is."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, where it only wraps one."""
    if isinstance(address, IPv4Address):
        return address
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and address in _NAT64:
        wrapped = IPv4Address(int(address) & 0xFFFF_FFFF)
    return wrapped or address
