from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.address import Address, parse_address

IDENTIFIERS = st.one_of(
    st.integers(0, 2**32 - 1), st.text(min_size=1, max_size=20), st.binary(min_size=1, max_size=20), st.uuids()
)
NAMESPACES = st.one_of(st.integers(0, 65_535), st.text(min_size=1, max_size=20))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", Address(0, 2258)),
        ("ns=2;s=Pump.Speed", Address(2, "Pump.Speed")),
        ("ns=3;s=a;b=c", Address(3, "a;b=c")),
        ("nsu=http://example.com/pumps;i=7", Address("http://example.com/pumps", 7)),
        ("nsu=urn:a%3Bb%25;s=x", Address("urn:a;b%", "x")),
        ("ns=1;b=AP8=", Address(1, b"\x00\xff")),
        ("g=09087e75-8e5e-499b-954f-f2a9603db28a", Address(0, UUID("09087e75-8e5e-499b-954f-f2a9603db28a"))),
    ],
)
def test_what_people_write(text: str, address: Address) -> None:
    assert parse_address(text) == address


@given(NAMESPACES, IDENTIFIERS)
def test_what_is_written_reads_the_same(namespace: int | str, identifier: int | str | bytes | UUID) -> None:
    address = Address(namespace, identifier)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Pump.Speed", "write a node id"),
        ("ns=2", "write a node id"),
        ("s=", "write a node id"),
        ("ns=-1;i=1", "write a node id"),
        ("ns=65536;i=1", "no namespace 65536"),
        ("i=4294967296", "is not a number"),
        ("i=x", "is not a number"),
        ("g=12", "is not a GUID"),
        ("b=A", "is not Base64"),
        ("s=" + "x" * 4097, "at most 4096"),
        (7, "write a node id"),
    ],
)
def test_what_is_no_node_id(text: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_address(text)
