"""Starts a counterpart that we did not write, waits for a real answer from it, and ends it by its own process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find(program: str, package: str) -> str:
    """The path of a counterpart's program. Skips the test where it is missing, and fails it in CI."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        message = f"{program} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


class Part:
    """A running counterpart: where it listens, and the process itself."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait(self, answers: Callable[[], bool], seconds: float = 15.0) -> None:
        """Until `answers` is true; an OSError from it counts as "not yet"."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if answers():
                    return
            except OSError:
                pass
            time.sleep(0.01)  # an outside process tells nobody when it is ready
        self.stop()
        pytest.fail(f"{self.process.args!r} did not answer:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def accepts(port: int) -> bool:
    """True once somebody accepts TCP connections there."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
