"""Node ids as people write them (OPC UA Part 6, 5.3.1.10). Pure.

`i=2258`, `ns=2;s=Pump.Speed`, `nsu=http://example.com/pumps;s=Pump.Speed`; besides numbers (i) and strings (s) there
are GUIDs (g) and opaque ids in Base64 (b). A server may give its namespaces other indexes after a restart,
so `nsu=` is the form that lasts.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import quote, unquote
from uuid import UUID

Identifier: TypeAlias = int | str | bytes | UUID

PATTERN: Final = r"((ns=\d+|nsu=[^;]+);)?[isgb]=.+"
MOST_LETTERS: Final = 4_096  # OPC UA Part 3, 8.2.4
_NODE = re.compile(r"(?:ns=(?P<index>\d{1,5});|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<identifier>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A node: its identifier, and its namespace as an index or as a URI."""

    namespace: int | str
    identifier: Identifier

    def __str__(self) -> str:
        head = f"nsu={quote(self.namespace, safe=':/?#[]@!$&+,= ')};" if isinstance(self.namespace, str) else ""
        if isinstance(self.namespace, int) and self.namespace:
            head = f"ns={self.namespace};"
        return head + _written(self.identifier)


def parse_address(text: object) -> Address:
    """Raises ValueError, which says what is wrong."""
    match = _NODE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("write a node id: nsu=http://example.com/pumps;s=Pump.Speed, ns=2;s=Pump.Speed or i=2258")
    index, uri = match["index"], match["uri"]
    if index is not None and int(index) > 0xFFFF:
        raise ValueError(f"there is no namespace {index}: they are counted to 65535")
    identifier = _READERS[match["kind"]](match["identifier"])
    return Address(int(index or 0) if uri is None else unquote(uri), identifier)


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > 0xFFFF_FFFF:
        raise ValueError(f"i={text} is not a number from 0 to 4294967295")
    return int(text)


def _string(text: str) -> str:
    if len(text) > MOST_LETTERS:
        raise ValueError(f"a node id has at most {MOST_LETTERS} letters")
    return text


def _guid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"g={text} is not a GUID") from None


def _opaque(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(f"b={text} is not Base64") from None


_READERS: Mapping[str, Callable[[str], Identifier]] = MappingProxyType(
    {"i": _number, "s": _string, "g": _guid, "b": _opaque}
)


def _written(identifier: Identifier) -> str:
    if isinstance(identifier, int):
        return f"i={identifier}"
    if isinstance(identifier, bytes):
        return f"b={base64.b64encode(identifier).decode()}"
    return f"g={identifier}" if isinstance(identifier, UUID) else f"s={identifier}"
