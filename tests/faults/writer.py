"""The writer as a process of its own, forked so that it starts at once, and strace as its companion."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.faults.history import History

VOICE = 99
"""The descriptor that a writer speaks on: its lines are told from all else in a recording."""

Work: TypeAlias = Callable[[Callable[[str], None], asyncio.Event], Awaitable[None]]

_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)


class Writer:
    """Runs `work` in a forked process, which waits for `go`. What it says stands in `scratch/said`."""

    def __init__(self, work: Work, scratch: Path) -> None:
        self._said = scratch / "said"
        self._complaint = scratch / "complaint"
        self._heard = 0
        gate, self._gate = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            os._exit(self._run(work, gate))
        os.close(gate)
        self._status: int | None = None

    def _run(self, work: Work, gate: int) -> int:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)  # Yama lets only ancestors trace otherwise
            os.dup2(os.open(self._said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), VOICE)
            logging.disable(logging.CRITICAL)
            os.read(gate, 1)
            asyncio.run(_live(work))
        except BaseException:
            self._complaint.write_text(traceback.format_exc(), encoding="utf-8")
            return 1
        return 0

    def go(self) -> None:
        os.close(self._gate)

    def lines(self) -> list[str]:
        """What it has said so far, whole lines."""
        if not self._said.exists():
            return []
        return self._said.read_text(encoding="ascii").rpartition("\n")[0].splitlines()

    def history(self) -> History:
        history = History()
        for line in self.lines():
            history.feed(line)
        return history

    @property
    def complaint(self) -> str:
        return self._complaint.read_text(encoding="utf-8") if self._complaint.exists() else ""

    def wait_for(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Whether it has `happened` while the writer lived, in time."""
        deadline = time.monotonic() + seconds
        while not happened():
            if not self.lives() or time.monotonic() > deadline:
                return happened()
            time.sleep(0.005)
        return True

    def lives(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is None

    def stop(self, seconds: float = 30.0) -> bool:
        """Asks it to end; whether it has ended as it should."""
        if self.lives():
            os.kill(self.pid, signal.SIGTERM)
        return self.join(seconds)

    def join(self, seconds: float) -> bool:
        """Whether it ends by itself, as it should."""
        self.wait_for(lambda: not self.lives(), seconds)
        return self._status == 0

    def kill(self) -> None:
        if self.lives():
            os.kill(self.pid, signal.SIGKILL)
            _, self._status = os.waitpid(self.pid, 0)


async def _live(work: Work) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await work(lambda line: _say(line), stopping)


def _say(line: str) -> None:
    os.write(VOICE, f"{line}\n".encode("ascii"))


@contextmanager
def writer(work: Work, scratch: Path) -> Iterator[Writer]:
    """One that is gone afterwards, whatever happens."""
    made = Writer(work, scratch)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def traced(pid: int, trace: Path, arguments: Sequence[str]) -> Iterator[None]:
    """strace follows a process, all its threads; its output is whole afterwards. Raises OSError where it may not."""
    strace = shutil.which("strace")
    if strace is None:
        raise OSError("strace is not installed: apt-get install strace")
    command = [strace, "-f", "-y", "-xx", "-ttt", "-s", "300000", "-o", str(trace), *arguments, "-p", str(pid)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        if not re.search(r"Process \d+ attached", said):
            raise OSError(f"strace cannot follow the writer: {said.strip() or 'it says nothing'}")
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.stderr.read()
        process.wait()
        process.stderr.close()
