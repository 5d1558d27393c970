"""Files that commands write: all of one or nothing."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gateway import files

_MODE = 0o644


def create(path: Path, text: str) -> None:
    """A file that was not there. Raises FileExistsError, OSError."""
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)


def replace(path: Path, content: bytes) -> None:
    """The file, whether it was there or not; whoever reads it sees the old content or the new. Raises OSError."""
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _MODE
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        new.replace(path)
        files.sync(path.parent)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def private(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read, and that is there once it is whole. Raises OSError."""
    path = Path(os.path.realpath(path))
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # known before it is there: Ctrl-C comes at any moment
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
