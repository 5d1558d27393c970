"""What it takes until a name is on disk: a file's own `fsync` brings its content there, its directory's the name."""

from __future__ import annotations

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """The names in `folder` are on disk when this returns. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    """`folder` is there, for its owner only, and on disk under its name; so are those above it. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in reversed(missing):
        sync(path.parent)
