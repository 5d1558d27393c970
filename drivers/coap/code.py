"""Methods and response codes (RFC 7252, 12.1; RFC 7959, 2.9), and what they mean for a value. Pure."""

from __future__ import annotations

from enum import IntEnum

from gateway.model import StatusCode


class Code(IntEnum):
    """As on the wire: the class in the upper three bits, the detail in the lower five."""

    GET = 0x01
    POST = 0x02
    PUT = 0x03
    CREATED = 0x41
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    METHOD_NOT_ALLOWED = 0x85
    NOT_ACCEPTABLE = 0x86
    REQUEST_ENTITY_INCOMPLETE = 0x88
    PRECONDITION_FAILED = 0x8C
    REQUEST_ENTITY_TOO_LARGE = 0x8D
    UNSUPPORTED_CONTENT_FORMAT = 0x8F
    INTERNAL_SERVER_ERROR = 0xA0
    NOT_IMPLEMENTED = 0xA1
    BAD_GATEWAY = 0xA2
    SERVICE_UNAVAILABLE = 0xA3
    GATEWAY_TIMEOUT = 0xA4
    PROXYING_NOT_SUPPORTED = 0xA5


_NAMES = {int(code): code.name.replace("_", " ").lower() for code in Code}
_STATUSES = {Code.NOT_FOUND: StatusCode.BAD_NODE_ID_UNKNOWN, Code.SERVICE_UNAVAILABLE: StatusCode.BAD_OUT_OF_SERVICE}


def words(code: int, diagnostic: bytes = b"") -> str:
    """`4.04 not found`, and what the server adds (RFC 7252, 5.5.2), cut to what fits into a line."""
    text = f"{code >> 5}.{code & 31:02} {_NAMES.get(code, '')}".rstrip()
    said = diagnostic[:80].decode(errors="replace").strip()
    return f"{text}: {said}" if said.isprintable() and said else text


def status_of(code: int) -> StatusCode:
    """What a value is worth that was answered with `code`."""
    if code == Code.CONTENT:
        return StatusCode.GOOD
    usual = StatusCode.BAD_DEVICE_FAILURE if code >> 5 == 5 else StatusCode.BAD_CONFIGURATION_ERROR
    return _STATUSES.get(Code(code), usual) if code in _NAMES else usual
