from __future__ import annotations

import pytest

from drivers.modbus.address import Address, Table, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("holding:100", Address(Table.HOLDING, 100)),
        ("input:0", Address(Table.INPUT, 0)),
        ("coil:3", Address(Table.COIL, 3)),
        ("discrete:65535", Address(Table.DISCRETE, 65_535)),
        ("holding:100.15", Address(Table.HOLDING, 100, 15)),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (40001, "write holding:0"),
        ("40108", "write holding:107"),
        ("465536", "write holding:65535"),
        (30001, "write input:0"),
        ("10008", "write discrete:7"),
        ("00004", "write coil:3"),
        ("holdng:1", "did you mean holding?"),
        ("Holding:1", "did you mean holding?"),
        ("register:1", "the tables are coil, discrete, holding, input"),
        ("holding:65536", "ends at 65535"),
        ("holding:1.16", "0 (lowest) to 15"),
        ("coil:1.0", "write coil:1"),
        ("holding", "holding:100"),
        ("holding:-1", "counted from 0"),
        (None, "holding:100"),
        ("holding:٣", "holding:100"),
    ],
)
def test_mistakes_come_with_what_to_write_instead(text: object, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert hint in str(caught.value)
