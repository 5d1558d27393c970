"""nginx of Debian: takes requests, keeps their bodies as files, and refuses in the ways that real servers do."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.process import Part, accepts, find, free_port

MAX_BODY = 4096
USER, PASSWORD = "edgeward", "s3cret pass"

# nginx reads a body only where it passes it on; the one behind says yes without looking.
_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  client_body_temp_path {folder}/bodies;
  client_body_in_file_only on;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  log_format requests escape=json '{{"path":"$request_uri","method":"$request_method","status":$status,'
    '"key":"$http_idempotency_key","type":"$content_type","host":"$http_host","body":"$request_body_file",'
    '"connection":$connection}}';
  access_log {folder}/requests.jsonl requests;
  client_max_body_size 64m;
  limit_req_zone $binary_remote_addr zone=slow:64k rate=1r/m;
  limit_req_status 429;
  server {{
    listen unix:{folder}/yes.socket;
    access_log off;
    location / {{ return 204; }}
  }}
  server {{
    listen 127.0.0.1:{port} {tls};
    {certificates}
    location / {{ proxy_pass http://unix:{folder}/yes.socket; }}
    location /small {{ client_max_body_size {max_body}; proxy_pass http://unix:{folder}/yes.socket; }}
    location /moved {{ return 307 http://127.0.0.1:{port}/ingest; }}
    location /private {{
      auth_basic plant;
      auth_basic_user_file {folder}/users;
      proxy_pass http://unix:{folder}/yes.socket;
    }}
    location /limited {{
      limit_req zone=slow;
      add_header Retry-After 7 always;
      proxy_pass http://unix:{folder}/yes.socket;
    }}
    location /forbidden {{ deny all; }}
    location /gone {{ root {folder}/nothing; }}
    location /broken {{ proxy_pass http://unix:{folder}/no.socket; }}
    location /busy {{ return 503; }}
  }}
}}
"""


class Nginx(Part):
    """`tls` is a server's certificate and key, and perhaps the authority that clients must be known to."""

    def __init__(self, folder: Path, tls: tuple[Path, ...] = ()) -> None:
        program = find("nginx", "nginx-light")
        self.folder = folder
        self.scheme = "https" if tls else "http"
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        lines = [f"ssl_certificate {tls[0]};", f"ssl_certificate_key {tls[1]};"] if tls else []
        if tls[2:]:
            lines += [f"ssl_client_certificate {tls[2]};", "ssl_verify_client on;"]
        port = free_port()
        config = folder / "nginx.conf"
        text = {"tls": "ssl" if tls else "", "certificates": " ".join(lines), "max_body": MAX_BODY}
        config.write_text(_CONFIG.format(folder=folder, port=port, **text))
        super().__init__([program, "-c", str(config), "-e", str(folder / "error.log")], port, folder / "nginx.log")
        self.wait(lambda: accepts(port))

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def bodies(self) -> list[bytes]:
        """Of all requests that it let through, in order of arrival. Each is whole before its request is answered."""
        found = [path.read_bytes() for path in sorted((self.folder / "bodies").iterdir())]
        return [gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body for body in found]

    def requests(self, count: int) -> list[dict[str, object]]:
        """The log of requests, once there are so many: a line comes a moment after its answer."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            lines = (self.folder / "requests.jsonl").read_text().splitlines()
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            time.sleep(0.005)  # an outside process tells nobody when it has written
        pytest.fail(f"no {count} requests: {lines}")


@contextlib.contextmanager
def nginx(folder: Path, tls: tuple[Path, ...] = ()) -> Iterator[Nginx]:
    part = Nginx(folder, tls)
    try:
        yield part
    finally:
        part.stop()
