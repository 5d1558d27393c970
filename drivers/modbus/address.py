"""Where a tag lies: `holding:100`, `input:0`, `coil:3`, `discrete:7`, and `holding:100.3` for one bit of a register.

Addresses are those of the protocol, counted from 0 (MODBUS Application Protocol V1.1b3, 4.4), and there is no other
way to write one: 40001 of an old manual is `holding:0`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum

SPACE = 65_536
"""How many addresses each table has."""

PATTERN = r"^(coil|discrete|input|holding):\d{1,5}(\.\d{1,2})?$"

_FORM = re.compile(r"(?P<table>\w+):(?P<start>\d{1,5})(?:\.(?P<bit>\d{1,2}))?", re.ASCII)
_CLASSIC = re.compile(r"([0134])(\d{4,5})", re.ASCII)
_CLASSIC_TABLES = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}


class Table(StrEnum):
    """The four tables of a device, in the order of the function codes that read them (1 to 4)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def function(self) -> int:
        """The function code that reads it."""
        return _FUNCTIONS[self]

    @property
    def has_bits(self) -> bool:
        """True where an address holds one bit, False where it holds a register of 16."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def is_writable(self) -> bool:
        return self in (Table.COIL, Table.HOLDING)


_FUNCTIONS = {table: code for code, table in enumerate(Table, start=1)}


@dataclass(frozen=True, slots=True)
class Address:
    table: Table
    start: int
    bit: int | None = None

    def __str__(self) -> str:
        return f"{self.table}:{self.start}" + ("" if self.bit is None else f".{self.bit}")


def parse_address(text: object) -> Address:
    """Raises ValueError, which says how to write it."""
    match = _FORM.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(_classic_hint(str(text).strip()) or _form_hint())
    start, bit = int(match["start"]), None if match["bit"] is None else int(match["bit"])
    table = _table(match["table"])
    if start >= SPACE:
        raise ValueError(f"the address {start} does not exist: a table ends at {SPACE - 1}")
    if bit is not None and table.has_bits:
        raise ValueError(f"a {table} is a single bit: write {table}:{start}")
    if bit is not None and bit > 15:
        raise ValueError(f"a register has the bits 0 (lowest) to 15, not {bit}")
    return Address(table, start, bit)


def _table(name: str) -> Table:
    if name in list(Table):
        return Table(name)
    close = difflib.get_close_matches(name.lower(), list(Table), n=1)
    hint = f"did you mean {close[0]}?" if close else f"the tables are {', '.join(Table)}"
    raise ValueError(f"there is no table {name!r}; {hint}")


def _classic_hint(text: str) -> str | None:
    """What 40001 or 400001 is in our notation: the leading digit names the table, the rest is counted from 1."""
    match = _CLASSIC.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= SPACE:
        return None
    return f"addresses are counted from 0 and name their table: write {_CLASSIC_TABLES[match[1]]}:{int(match[2]) - 1}"


def _form_hint() -> str:
    return "write the table and the address counted from 0: holding:100, input:0, coil:3, discrete:7 or holding:100.3"
