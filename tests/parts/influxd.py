"""InfluxDB 1.6.7 of Debian: started on free ports, asked by InfluxQL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.parts.process import Part, find, free_port

MAX_BODY = 1_000_000

_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  index-version = "inmem"
  query-log-enabled = false
[http]
  bind-address = "{host}:{port}"
  log-enabled = false
  max-body-size = {max_body}
[subscriber]
  enabled = false
[monitor]
  store-enabled = false
"""


class Influxd(Part):
    host = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def query(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """The rows of the only statement; its group tags are among the columns."""
        form = urlencode({"q": text, "db": database, "epoch": "ns"}).encode()
        with urlopen(f"{self.url}/query", form, timeout=10) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for series in result.get("series", [])
            for values in series["values"]
        ]

    def create(self, database: str) -> str:
        """An empty database of that name, and the name again."""
        self.query(f'drop database "{database}"')
        self.query(f'create database "{database}"')
        return database

    def answers(self) -> bool:
        with urlopen(f"{self.url}/ping", timeout=1) as answer:
            return bool(answer.status == 204)


@contextlib.contextmanager
def influxd(directory: Path, host: str = Influxd.host, max_body: int = MAX_BODY) -> Iterator[Influxd]:
    """A server with its files in `directory`, at one of our addresses. It refuses bodies above `max_body` bytes; one
    that is not told takes 25 MB."""
    program = find("influxd", "influxdb")
    port, rpc_port = free_port(), free_port()
    config = directory / "influxd.conf"
    text = _CONFIG.format(directory=directory, host=host, port=port, rpc_port=rpc_port, max_body=max_body)
    config.write_text(text)
    part = Influxd([program, "run", "-config", str(config)], port, directory / "influxd.log")
    part.host = host
    part.wait(part.answers)
    try:
        yield part
    finally:
        part.stop()
