"""Starts one of our simulators as the demo does, waits for its line `ready`, and ends it by its own process id."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType


class Simulator:
    """`facts` is what the line `ready` said; `output` what came after it, once the process has ended."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"simulators.{module}", *map(str, arguments)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=self._errors, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("ready"):
            self.process.communicate()
            raise AssertionError(self._told())
        self.facts = dict(fact.split("=", 1) for fact in first.split()[1:])
        self.output = ""

    @property
    def port(self) -> int:
        return int(self.facts["port"])

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.output, _ = self.process.communicate(timeout=5)
        finally:
            self.process.kill()
            self.process.wait()
        assert (self.process.returncode, self._told()) == (0, "")

    def ask(self, line: dict[str, object]) -> dict[str, object]:
        """Send a line to its control, and read the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer

    def _told(self) -> str:
        """What stood on stderr."""
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
