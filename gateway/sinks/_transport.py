"""HTTP to one server under bounds; every answer but "delivered" becomes the error that says what to do next."""

from __future__ import annotations

import io
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, ServerFailed, SinkHeld

MAX_BODY = 64 * 1024
MAX_READS = 8
MAX_REASON = 500
MAX_RETRY_AFTER_S = 3600.0


class Pool(urllib3.PoolManager):
    """One kept-alive connection: no retries, no redirects, no proxy from the environment, bodies cut at 64 KiB.

    `timeout_s` bounds every wait on the socket. Name look-up and an answer that trickles are not bounded by it, so the
    caller bounds the whole exchange.
    """

    def __init__(self, timeout_s: float, ca_file: Path | None) -> None:
        ca_certs = None if ca_file is None else str(ca_file)
        super().__init__(num_pools=1, maxsize=1, cert_reqs="CERT_REQUIRED", ca_certs=ca_certs)
        self._timeout = urllib3.Timeout(total=timeout_s)

    def urlopen(  # type: ignore[override] # as in urllib3, which narrows it too
        self, method: str, url: str, redirect: bool = True, **options: object
    ) -> urllib3.BaseHTTPResponse:
        """Return when the server has taken the request. Raises the errors of `judge`, and `ConnectionLost`."""
        options |= {"retries": False, "preload_content": False, "timeout": self._timeout}
        try:
            answer = super().urlopen(method, url, redirect=False, **options)
            body = _read(answer)
        except HTTPError as error:
            raise ConnectionLost(_printable(str(error))) from error
        judge(answer.status, answer.headers, body)
        return urllib3.HTTPResponse(io.BytesIO(), status=answer.status, request_method=method)


def judge(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Return if the request was taken; otherwise raise `ChunkRejected`, `ChunkTooLarge`, `ConnectionLost`,
    `ServerFailed` or `SinkHeld`, with the server's own words. `headers` are looked up without regard to case."""
    # A write is answered without a body; a login page or a proxy answers 200 with one.
    if status == 204 or (status == 200 and not body.strip()):
        return
    reason = f"{status}: {_explain(body)}"
    if status in (400, 422):
        raise ChunkRejected(reason)
    if status == 413:
        raise ChunkTooLarge(reason)
    if status in (408, 429, 503):
        raise ConnectionLost(reason, retry_after(headers))
    if status >= 500:
        raise ServerFailed(reason)
    raise SinkHeld(reason)


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
    """What InfluxDB 2 calls `message` and InfluxDB 1 `error`, or else the beginning of the text."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    words = (answer.get("message") or answer.get("error")) if isinstance(answer, dict) else None
    return _printable(words if isinstance(words, str) else body.decode("utf-8", "replace")) or "no reason given"


def _printable(text: str) -> str:
    """One line of at most 500 characters that is safe to log."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_REASON]).strip()
