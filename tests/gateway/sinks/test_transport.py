from __future__ import annotations

import pytest
from urllib3 import HTTPHeaderDict

from gateway.errors import ChunkRejected, ConnectionLost, GatewayError, ServerFailed
from gateway.sinks._transport import judge, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after": " 12 "}, 12.0),
        ({"Retry-After": "9" * 400}, 3600.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:29 GMT"}, 30.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Sat, 01 Jan 2000 00:00:29 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT", "Date": "Sat, 01 Jan 2000 00:00:29 GMT"}, 3600.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 -0000", "Date": "Fri, 31 Dec 1999 23:59:29 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(HTTPHeaderDict(headers)) == seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"code": "invalid", "message": "bad line"}', "400: bad line"),  # InfluxDB 2
        (b'{"error": "partial write: bad line dropped=1"}\n', "400: partial write: bad line dropped=1"),  # InfluxDB 1
        (b"plain words", "400: plain words"),
        (b'{"message": 5}', '400: {"message": 5}'),
        (b'["odd"]', '400: ["odd"]'),
        (b"\xff\x00\x1b[31m", "400: \ufffd [31m"),
        (
            b"<html>\n<title>400 Bad</title>\n<body class='a'>no such\nplace</body>",
            "400: 400 Bad no such place",
        ),  # nginx
        (b"<" * 100_000, "400: " + "<" * 500),
        (b"", "400: no reason given"),
        (b"x" * 1000, "400: " + "x" * 500),
    ],
)
def test_the_servers_own_words(body: bytes, reason: str) -> None:
    with pytest.raises(ChunkRejected) as raised:
        judge(400, HTTPHeaderDict(), body)
    assert str(raised.value) == reason


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 418, 429, 500, 503])
def test_what_a_log_may_say_of_the_servers_own_words(status: int) -> None:
    with pytest.raises(GatewayError, match="777") as raised:
        judge(status, HTTPHeaderDict(), b"777.25 is no good")
    assert raised.value.brief == str(status)


@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b""), (200, b"\n")])
def test_delivered(status: int, body: bytes) -> None:
    judge(status, HTTPHeaderDict(), body)


def test_any_other_failure_of_the_server() -> None:
    with pytest.raises(ServerFailed, match="599"):
        judge(599, HTTPHeaderDict(), b"")


def test_too_early_is_tried_again() -> None:
    with pytest.raises(ConnectionLost, match="425"):
        judge(425, HTTPHeaderDict(), b"")
