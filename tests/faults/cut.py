"""The power fails under a writer: the kernel shuts its ext4 down as if the disk had lost power, and mounts it again.

Only root may, where there are loop devices; elsewhere the suite says so.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults import workload
from tests.faults.crash import memory
from tests.faults.workload import Findings, Plan
from tests.faults.writer import Writer, writer

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN (fs/ext4/ext4.h)."""

_NO_FLUSH = struct.pack("I", 2)
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what is in memory, the file system's own journal included, is lost."""

_CONTROLS = 2
_DISK_BYTES = 64 << 20
_WAIT_S = 20.0
_LONGEST_S = 0.8
_SICK_S = 0.05
"""How long the writer has to live on a disk that is gone."""


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    logging.disable(logging.CRITICAL)
    choice = random.Random(seed)
    figures = {"runs": 0, "lost": 0, "duplicates": 0, "failed": 0, "skipped": 0}
    try:
        with tempfile.TemporaryDirectory(dir=memory()) as name, disk(Path(name)) as mounted:
            control = Plan(seed, time.time_ns(), hasty=False, synchronous="OFF")
            figures["control_lost"] = sum(attempt(mounted, control, choice).lost for _ in range(_CONTROLS))
            for number in range(1, size + 1):
                findings = attempt(mounted, Plan(choice.getrandbits(32), time.time_ns(), hasty=False), choice)
                figures["runs"] += 1
                figures["lost"] += findings.lost
                figures["duplicates"] += findings.duplicates
                figures["failed"] += not findings.sound
                if not findings.sound:
                    tell(f"cut: run {number}: {'; '.join(findings.problems[:5])}")
                tell(f"cut: {number} of {size}")
    except Unable as error:
        figures["skipped"] = size - figures["runs"]
        tell(f"cut: skipped, because {error}")
    finally:
        logging.disable(logging.NOTSET)
    return figures


class Unable(Exception):
    """This machine has no disk that may be cut off."""


def attempt(mounted: Mounted, plan: Plan, choice: random.Random) -> Findings:
    """A fresh journal, cut off at a random moment, and what is found of it."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        directory = mounted.path / "journal"
        with writer(partial(workload.write, directory, plan), Path(name)) as author:
            author.go()
            if not author.wait_for(lambda: len(author.lines()) > 3, _WAIT_S):
                problems.append(f"the writer does not begin: {author.complaint}")
            _pass(author, choice.uniform(0, _LONGEST_S))
            mounted.cut()
            _pass(author, _SICK_S)
            if not author.lives():
                problems.append(f"the writer has ended: {author.complaint}")
            author.kill()
            history = author.history()
        mounted.again()
        found = shutil.copytree(directory, Path(name) / "journal")
        findings = asyncio.run(workload.audit(found, history, plan))
        shutil.rmtree(directory)
    findings.problems += problems
    return findings


def _pass(author: Writer, seconds: float) -> None:
    until = time.monotonic() + seconds
    author.wait_for(lambda: time.monotonic() >= until, seconds)


class Mounted:
    """An ext4 in a file."""

    def __init__(self, image: Path, path: Path) -> None:
        self.path = path
        self._image = image
        self.mount()

    def mount(self) -> None:
        _call("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self, *options: str) -> None:
        _call("umount", *options, str(self.path))

    def cut(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_FLUSH)
        finally:
            os.close(descriptor)

    def again(self) -> None:
        self.unmount()
        self.mount()


@contextmanager
def disk(scratch: Path) -> Iterator[Mounted]:
    """Raises Unable."""
    if os.geteuid() != 0:
        raise Unable("only root may mount a file system")
    image, path = scratch / "image", scratch / "disk"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    _call("mkfs.ext4", "-q", "-F", str(image))
    mounted = Mounted(image, path)
    try:
        yield mounted
    finally:
        mounted.unmount("--lazy")


def _call(program: str, *arguments: str) -> None:
    """Raises Unable where it cannot."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unable(f"{program} is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unable(f"{program} says: {done.stderr.strip()}")
