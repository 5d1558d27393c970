"""The gateway as users run it: a process of its own, a configuration file, and the control door to ask it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.process import Part

Reply = dict[str, Any]

PATIENCE_S = 20.0

_BYTE_CODE = Path(__file__).parents[2] / "build" / "bytecode"
# Where the environment forbids to keep byte code, every start would compile a hundred thousand lines anew.
_PYTHON = ("env", "-u", "PYTHONDONTWRITEBYTECODE", sys.executable, "-X", f"pycache_prefix={_BYTE_CODE}")


class Gateway:
    """One configuration in `folder`, its data directory, and the process that runs it, one after the other.

    `sections` are those of a configuration file, as plain values; what every file needs is filled in.
    """

    def __init__(self, folder: Path, **sections: object) -> None:
        self.folder = folder
        self.log = folder / "gateway.log"
        self.configuration = folder / "edgeward.yaml"
        self.write(**sections)
        self.inside: tuple[str, ...] = ()
        """What its command begins with, where it does not run as we do."""
        self._part: Part | None = None

    def write(self, **sections: object) -> None:
        """The configuration anew; a gateway that runs already does not mind until it is told."""
        # JSON is YAML too, and never holds an alias.
        whole = {"site": "plant-1", "cell": "line-a", "http": {"port": 0}} | sections
        self.configuration.write_text(json.dumps(whole, ensure_ascii=False, indent=1))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._part is not None, "the gateway was not started"
        return self._part.process

    def start(self, *options: str, wait: bool = True) -> None:
        """A new process; returns once the control door answers, unless nobody wants to `wait`."""
        command = [*self.inside, *_PYTHON, "-m", "gateway", "run", *options, str(self.configuration)]
        self._part = Part(command, 0, self.log)
        if wait:
            self._part.wait(lambda: "status" in self.ask("status"), PATIENCE_S)

    def stop(self) -> None:
        """As an orderly shutdown does it: SIGTERM, and it ends with 0."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        assert code == 0, f"ended with {code}:\n{self.tail()}"

    def kill(self) -> None:
        """As a power cut does it, or the kernel when memory is short."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def survives(self, seconds: float) -> None:
        """Leave it alone for so long; it must not end by itself meanwhile."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            pytest.fail(f"the gateway ended by itself, with {code}:\n{self.tail()}")

    # Asking it

    def ask(self, ask: str, **request: object) -> Reply:
        """One request through the control door, and its reply. Raises OSError where nobody answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(PATIENCE_S)
            caller.connect(str(self.folder / "data" / "control.sock"))
            caller.sendall(json.dumps({"ask": ask} | request).encode() + b"\n")
            with caller.makefile("rb") as lines:
                line = lines.readline()
        if not line:
            raise ConnectionError("the gateway hung up")
        reply: Reply = json.loads(line)
        return reply

    def status(self) -> Reply:
        reply: Reply = self.ask("status")["status"]
        return reply

    def sink(self, name: str) -> Reply:
        return self._entry("sinks", name)

    def device(self, name: str) -> Reply:
        return self._entry("devices", name)

    def link(self, name: str) -> Reply:
        return self._entry("links", name)

    def read(self, tag: str) -> Reply:
        (reading,) = self.ask("read", tag=tag)["readings"]
        assert isinstance(reading, dict)
        return reading

    def alarm(self, name: str) -> str:
        """The state of an alarm."""
        return str(next(entry["state"] for entry in self.ask("alarms")["alarms"] if entry["alarm"] == name))

    def _entry(self, section: str, name: str) -> Reply:
        entry: Reply = next(entry for entry in self.status()[section] if entry["id"] == name)
        return entry

    # Waiting and looking

    def wait(self, holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Until `holds`, while the gateway runs on. Fails with the end of its log."""
        assert self._part is not None
        self._part.wait(holds, seconds)

    def wait_delivered(self, *sinks: str, seconds: float = PATIENCE_S) -> None:
        """Until nothing is pending for these sinks; and nothing of what came may be unaccounted for."""
        self.wait(lambda: not any(self.sink(name)["pending"] for name in sinks), seconds)
        self.check_accounts()

    def check_accounts(self) -> None:
        """In points, for every sink at every moment."""
        for account in self.status()["sinks"]:
            settled = [account[kind] for kind in ("delivered", "pending", "dead_letters", "dropped")]
            assert account["ingested"] == sum(settled), account
            assert min(settled) >= 0, account

    def told(self, *words: str) -> list[str]:
        """The lines of the log, over all runs, that hold all these words."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if all(word in line for word in words)]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def gateway(folder: Path, sections: Mapping[str, object], *, start: bool = True) -> Iterator[Gateway]:
    """A running gateway with its files in `folder`; at the end it must stop in order, if it still runs."""
    made = Gateway(folder, **sections)
    if start:
        made.start()
    try:
        yield made
        if made._part is not None and made.process.poll() is None:
            made.stop()
    finally:
        if made._part is not None and made.process.poll() is None:
            made.kill()
