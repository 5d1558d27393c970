"""Packages that npm installs for the tests, each set in a folder of its own below build/."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts.process import find

BUILD = Path(__file__).parents[2] / "build"


def install(name: str, *packages: str) -> Path:
    """The folder build/NAME with its `node_modules`, installed when they are not there yet. `packages` are pinned, as
    in `typescript@5.9.3`. Skips the test where that is not possible, and fails it in CI."""
    npm = find("npm", "npm")
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests may run in several processes
        done, wanted = folder / "installed", "\n".join(packages)
        if not done.exists() or done.read_text() != wanted:
            _install(npm, folder, packages)
            done.write_text(wanted)
    return folder


def _install(npm: str, folder: Path, packages: tuple[str, ...]) -> None:
    shutil.rmtree(folder / "node_modules", ignore_errors=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if outcome.returncode != 0:
        message = f"npm cannot install {' '.join(packages)}: {outcome.stderr[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
