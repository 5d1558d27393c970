"""One process of the demo. It is known, and ended, by its own process id."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from simulators.demo.failure import DemoFailed

_START_SECONDS = 30.0
_END_SECONDS = 15.0  # the gateway itself allows ten for its own
_POLL_SECONDS = 0.02
_TAIL = 1500
_ANSWER = b'\n{"faults":'


class Child:
    """What it says, on either output, goes to its log."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._is_ending = False

    @staticmethod
    async def start(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
        """In a session of its own: Ctrl-C is for the demo alone, which then ends its processes in order."""
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return Child(name, process, log)

    async def wait(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Until `answers` is true; an OSError from it means not yet. Raises DemoFailed if the process ends before."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await _holds(answers):
                    if self._process.returncode is not None:
                        raise self._failure("ended")
                    await asyncio.sleep(_POLL_SECONDS)  # another process tells nobody when it is ready
        except TimeoutError:
            raise self._failure(f"did not answer within {_START_SECONDS:g} s") from None

    async def listens(self, port: int) -> None:
        """Until it accepts connections on `port`. Raises DemoFailed."""
        await self.wait(lambda: _accepts(port))

    async def ready(self) -> None:
        """Until it says so, as simulators do. Raises DemoFailed."""
        await self.wait(self._says_ready)

    async def order(self, *faults: str) -> None:
        """Have a simulator that runs with `--control` switch to these faults. Raises DemoFailed."""
        assert self._process.stdin is not None
        answers = self._said().count(_ANSWER)
        self._process.stdin.write(msgspec.json.encode({"faults": faults}) + b"\n")

        async def answers_again() -> bool:
            return self._said().count(_ANSWER) > answers

        await self.wait(answers_again)

    async def watch(self) -> None:
        """As long as it runs. Raises DemoFailed when it ends and nobody has asked it to."""
        await self._process.wait()
        if not self._is_ending:
            raise self._failure("ended")

    async def end(self) -> None:
        """Ask it to end, and wait until it has. Raises DemoFailed where it did not end in order."""
        if self._is_ending:
            return
        self._is_ending = True
        try:
            if self._process.returncode is None:
                self._process.terminate()
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            raise self._failure(f"did not end within {_END_SECONDS:g} s") from None
        finally:
            self._kill()
        if self._process.returncode:
            raise self._failure("did not end well")

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def _says_ready(self) -> bool:
        return self._said().startswith(b"ready")

    def _said(self) -> bytes:
        return self._log.read_bytes()

    def _failure(self, what: str) -> DemoFailed:
        code = self._process.returncode
        head = f"the {self.name} {what}" + (f" (exit code {code})" if code else "")
        said = self._said().decode("utf-8", "replace").strip()[-_TAIL:]
        return DemoFailed(f"{head}; what it said is in {self._log}" + (f":\n{said}" if said else ""))


async def _holds(answers: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await answers()
    except OSError:
        return False


async def _accepts(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True
