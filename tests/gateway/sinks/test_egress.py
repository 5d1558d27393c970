"""What may be connected to, and what never."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from gateway.errors import ConnectionLost, SinkHeld
from gateway.sinks._egress import Egress, parse

HOST = "historian.example.com"
PUBLIC = "93.184.216.34"


def refused(host: str, allow: list[str], address: str) -> bool:
    return Egress.of(host, allow).objection(host, ip_address(address)) != ""


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        (PUBLIC, False),
        ("2606:2800:220:1::1", False),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("100.64.0.1", True),  # shared by providers; a metadata service of one of them
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("0.0.0.0", True),
        ("169.254.169.254", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("::1", True),
        ("::", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("ff02::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:7f00:1::", True),
        (f"::ffff:{PUBLIC}", False),
    ],
)
def test_a_name_without_a_list_is_somewhere_in_the_world(address: str, is_refused: bool) -> None:
    assert refused(HOST, [], address) is is_refused


@pytest.mark.parametrize(
    ("host", "address", "is_refused"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", True),
        ("::1", "::1", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("localhost", "127.0.0.1", False),
        ("localhost", "::1", False),
        ("localhost", "10.1.2.3", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("fe80::1", "fe80::1", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("239.1.1.1", "239.1.1.1", True),
    ],
)
def test_an_address_in_the_url_is_allowed_by_that(host: str, address: str, is_refused: bool) -> None:
    assert refused(host, [], address) is is_refused


@pytest.mark.parametrize(
    ("allow", "address", "is_refused"),
    [
        ([HOST], "10.1.2.3", False),
        ([HOST.upper() + "."], "10.1.2.3", False),
        ([HOST], PUBLIC, False),
        ([HOST], "127.0.0.1", True),
        ([HOST], "169.254.169.254", True),
        (["10.1.2.0/24"], "10.1.2.3", False),
        (["10.1.2.0/24"], "10.1.3.3", True),
        (["10.1.2.0/24"], PUBLIC, True),
        (["10.1.2.0/24"], "::ffff:10.1.2.3", False),
        (["other.example.com"], PUBLIC, True),
        (["127.0.0.1"], "127.0.0.1", False),
        (["169.254.0.0/16"], "169.254.1.9", False),
        (["0.0.0.0/0"], "224.0.0.1", True),
        (["0.0.0.0/0"], "0.0.0.0", True),
        (["localhost", HOST], "127.0.0.1", True),  # the list is for the host of the URL
    ],
)
def test_a_list_is_all_there_is(allow: list[str], address: str, is_refused: bool) -> None:
    assert refused(HOST, allow, address) is is_refused


def test_localhost_on_the_list() -> None:
    assert not refused("localhost", ["localhost"], "127.0.0.1")
    assert refused("localhost", ["10.0.0.0/8"], "127.0.0.1")


@pytest.mark.parametrize("entry", ["", "10.1.2.3/24", "10.0.0.0/99", "a b", "http://h", "h:80", "*.example.com"])
def test_what_is_neither_a_host_nor_a_network(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a host, an address nor a network"):
        parse(entry)


def test_a_host_that_no_look_up_can_make_right_is_vetoed() -> None:
    assert Egress.of(HOST, ["other.example.com"]).veto(HOST)
    assert Egress.of("127.0.0.1", ["10.0.0.0/8"]).veto("127.0.0.1")
    assert not Egress.of(HOST, ["10.0.0.0/8"]).veto(HOST)
    assert not Egress.of(HOST, []).veto(HOST)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Answers every look-up with the given addresses."""

    def answer(*addresses: str) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return answer


def test_only_what_is_allowed_comes_out_of_a_look_up(names: Callable[..., None]) -> None:
    names("169.254.169.254", PUBLIC, "127.0.0.1", PUBLIC)
    assert Egress.of(HOST, []).resolve(HOST, 443) == [ip_address(PUBLIC)]


def test_a_name_that_leads_inside_is_held(names: Callable[..., None]) -> None:
    names("169.254.169.254")
    with pytest.raises(SinkHeld, match=f"nothing is sent to {HOST}: 169.254.169.254 is link-local"):
        Egress.of(HOST, []).resolve(HOST, 443)
    names("10.1.2.3")
    with pytest.raises(SinkHeld, match=f"10.1.2.3 is not public: list {HOST} under allow"):
        Egress.of(HOST, []).resolve(HOST, 443)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
def test_an_address_in_disguise_is_what_it_is(host: str) -> None:
    with pytest.raises(SinkHeld, match=r"127\.0\.0\.1 is this computer itself"):
        Egress.of(host, []).resolve(host, 80)


def test_no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(ConnectionLost, match="no such name"):
        Egress.of(HOST, []).resolve(HOST, 443)
