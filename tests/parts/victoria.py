"""VictoriaMetrics of Debian: it takes the v2 write call, and is asked by its export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.parts.process import Part, find, free_port


class Victoria(Part):
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def export(self, match: str) -> dict[str, list[tuple[int, float]]]:
        """Milliseconds and value of every sample of every metric that matches, by the metric's name."""
        urlopen(f"{self.url}/internal/force_flush", timeout=10).close()
        query = urlencode({"match[]": match, "reduce_mem_usage": 1})
        with urlopen(f"{self.url}/api/v1/export?{query}", timeout=10) as answer:
            series = [json.loads(line) for line in answer]
        return {
            each["metric"]["__name__"]: sorted(zip(each["timestamps"], each["values"], strict=True)) for each in series
        }

    def answers(self) -> bool:
        with urlopen(f"{self.url}/health", timeout=1) as answer:
            return bool(answer.status == 200)


@contextlib.contextmanager
def victoria(directory: Path) -> Iterator[Victoria]:
    """A server with its files in `directory`. It keeps samples of the last 100 years."""
    program = find("victoria-metrics", "victoria-metrics")
    port = free_port()
    command = [
        program,
        f"-storageDataPath={directory / 'victoria'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
    ]
    part = Victoria(command, port, directory / "victoria.log")
    part.wait(part.answers)
    try:
        yield part
    finally:
        part.stop()
