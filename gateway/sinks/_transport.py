"""HTTP to one server under bounds; every answer but "delivered" becomes the error that says what to do next."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import TypeAlias

import orjson
import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.sinks._words import brief

MAX_BODY = 64 * 1024
MAX_READS = 8
MAX_RETRY_AFTER_S = 3600.0

_TAG = re.compile(r"<[^<>]*>")


Judge: TypeAlias = Callable[[int, Mapping[str, str], bytes], None]
"""Looks at an answer's status, headers (without regard to case) and body. Returns if the request was taken."""


def judge(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Return if the request was taken and nothing said about it; raise the `refusal` otherwise. For servers of which it
    is known that they answer a write without a body: a login page or a proxy answers 200 with one."""
    if status == 204 or (status == 200 and not body.strip()):
        return
    raise refusal(status, headers, body)


class Courier:
    """The one thread of a sink, which alone touches its connection and runs one errand after another."""

    def __init__(self, name: str, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, errand: Callable[[], None]) -> None:
        """Where one hangs, in a name look-up say, the next waits, no longer. Raises `ConnectionLost` after the time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.get_running_loop().run_in_executor(self._thread, errand)
        except TimeoutError:
            raise ConnectionLost(f"{self._url} gave no answer within {self._timeout_s:g} s") from None

    def close(self) -> None:
        """At once: an errand that hangs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Pool(urllib3.PoolManager):
    """One kept-alive connection: no retries, no redirects, no proxy from the environment, bodies cut at 64 KiB and
    never expanded.

    `timeout_s` bounds every wait on the socket. Name look-up and an answer that trickles are not bounded by it, so the
    caller bounds the whole exchange. `tls` is what urllib3 takes beside `ca_certs`.
    """

    def __init__(self, timeout_s: float, ca_file: Path | None, judge: Judge = judge, **tls: str) -> None:
        ca_certs = None if ca_file is None else str(ca_file)
        super().__init__(num_pools=1, maxsize=1, cert_reqs="CERT_REQUIRED", ca_certs=ca_certs)
        self.connection_pool_kw.update(tls)
        self._timeout = urllib3.Timeout(total=timeout_s)
        self._judge = judge

    def urlopen(  # type: ignore[override] # as in urllib3, which narrows it too
        self, method: str, url: str, redirect: bool = True, **options: object
    ) -> urllib3.BaseHTTPResponse:
        """Return when the server has taken the request. Raises the errors of the judge, and `ConnectionLost`."""
        options |= {"retries": False, "preload_content": False, "timeout": self._timeout}
        try:
            answer = super().urlopen(method, url, redirect=False, **options)
            body = _read(answer)
        except HTTPError as error:
            lost = ConnectionLost(brief(str(error)))
            lost.brief = _brief(error)
            raise lost from error
        self._judge(answer.status, answer.headers, body)
        return urllib3.HTTPResponse(io.BytesIO(), status=answer.status, request_method=method)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """`ChunkRejected`, `ChunkTooLarge`, `ConnectionLost`, `ServerFailed` or `SinkHeld`, with the server's own words.
    `headers` are looked up without regard to case."""
    error = _meaning(status, headers, f"{status}: {_explain(body)}")
    error.brief = str(status)
    return error


def _meaning(status: int, headers: Mapping[str, str], reason: str) -> GatewayError:
    if status in (400, 422):
        return ChunkRejected(reason)
    if status == 413:
        return ChunkTooLarge(reason)
    if status in (408, 425, 429, 503):
        return ConnectionLost(reason, retry_after(headers))
    if status >= 500:
        return ServerFailed(reason)
    return SinkHeld(reason)


def _brief(error: HTTPError) -> str:
    """Where what should be HTTP is something else, the error quotes it."""
    is_foreign = isinstance(error, ProtocolError) and isinstance(error.args[-1], HTTPException)
    return "the answer is no HTTP" if is_foreign else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, at most an hour, from either form of Retry-After (RFC 9110, 10.2.3); a date counts from the server's own
    Date, so that our clock does not matter."""
    wish = headers.get("Retry-After", "").strip()
    if wish.isascii() and wish.isdigit():
        return min(float(wish), MAX_RETRY_AFTER_S)
    try:
        wait = parsedate_to_datetime(wish) - parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body, or its beginning: then the connection is closed rather than drained."""
    body = b""
    for _ in range(MAX_READS):
        part = answer.read1(MAX_BODY // MAX_READS, decode_content=False)
        if not part:
            return body
        body += part
    answer.close()
    return body


def _explain(body: bytes) -> str:
    """What InfluxDB 2 and many others call `message`, and InfluxDB 1 `error`, or else the beginning of the text."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    words = (answer.get("message") or answer.get("error")) if isinstance(answer, dict) else None
    return brief(words if isinstance(words, str) else _text(body)) or "no reason given"


def _text(body: bytes) -> str:
    """A page without its tags: a proxy gives its reason in HTML."""
    text = body.decode("utf-8", "replace")
    return " ".join(_TAG.sub(" ", text).split()) if text.startswith("<") else text
