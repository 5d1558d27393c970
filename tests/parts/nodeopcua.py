"""node-opcua, an OPC UA server that we did not write, told by lines of JSON what its variables are."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.parts.process import Part, find, free_port

PACKAGE = "node-opcua@2.182.2"
URI = "http://edgeward.test/plant"
SOURCE = Path(__file__).with_name("nodeopcua_server.js")
FOLDER = Path(__file__).parents[2] / "build" / "node"


def install() -> Path:
    """The folder of the modules, installed by npm when they are not there yet. Skips the test where that is not
    possible, and fails it in CI."""
    npm = find("npm", "npm")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests may run in several processes
        return _install(npm)


def _install(npm: str) -> Path:
    modules = FOLDER / "node_modules"
    done = FOLDER / "installed"
    if done.exists() and done.read_text() == PACKAGE and modules.exists():
        return modules
    shutil.rmtree(modules, ignore_errors=True)
    command = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if outcome.returncode != 0:
        message = f"npm cannot install {PACKAGE}: {outcome.stderr[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    done.write_text(PACKAGE)
    return modules


class NodeOpcUa(Part):
    """A running server at `url`. Its variables are those of `VARIABLES` in the script, by string ids in `URI`.

    `before` are namespaces that come before that one; `users` (name to password) replaces anonymous access; a server
    that is not `trusting` accepts no certificate that it does not know. It keeps its own certificate in `pki`, and what
    it has to say beside its answers in `folder`.
    """

    def __init__(
        self, folder: Path = FOLDER, *, port: int | None = None, pki: Path = FOLDER / "pki", **options: Any
    ) -> None:
        modules = install()
        self.port = port or free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}/plant"
        self.pki = pki
        self.log = folder / f"node-opcua-{self.port}.log"
        command = [
            find("node", "nodejs"),
            str(SOURCE),
            json.dumps({"port": self.port, "pki": str(self.pki), **options}),
        ]
        environment = {**os.environ, "NODE_PATH": str(modules), "NODE_NO_WARNINGS": "1"}
        self._said = self.log.open("wb")
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=self._said, env=environment)
        if "ready" not in self._answer():
            self.stop()
            raise AssertionError("node-opcua did not start")

    def set(self, name: str, value: object, status: str = "Good", time_ms: int | None = None) -> None:
        """`time_ms` is the source timestamp; now, unless given. A 64-bit integer is a pair of 32-bit halves."""
        self._ask({"set": name, "value": value, "status": status, "time": time_ms})

    def get(self, name: str) -> object:
        return self._ask({"get": name})["value"]

    def add(self, name: str, value: float) -> None:
        """A variable that was not there before."""
        self._ask({"add": name, "value": value})

    def stop(self) -> None:
        """As a server goes that is told to."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.write(b'{"stop": true}\n')
            self.process.stdin.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.kill()

    def kill(self) -> None:
        """As a server goes whose power fails."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._said):
            if stream is not None and not stream.closed:
                stream.close()

    def _ask(self, order: dict[str, object]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON; the library prints other things too."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise AssertionError(f"node-opcua ended:\n{self.log.read_text(errors='replace')[-2000:]}")
