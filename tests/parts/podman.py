"""podman of Debian, with a store of its own under build/: it sees nothing of the host's, and leaves nothing there.

Images come from no registry. `base` is made here from Debian's packages: Debian 12 with its Python 3.11, which stands
in for the Python image that docker/Dockerfile names; BASE in the environment names another. It is kept for the next
time.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.parts.process import find

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build" / "podman"

BASE = "localhost/edgeward-test-base:bookworm"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

PATIENCE_S = 30.0

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{store}/images"
runroot = "{run}"
"""

# Limits are named because raising them, podman's default, takes a capability that root may lack. No systemd is needed.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{run}/libpod"
[network]
network_backend = "netavark"
network_config_dir = "{store}/networks"
"""


class Podman:
    """The program, and the store that it works in."""

    def __init__(self, store: Path = STORE) -> None:
        if os.geteuid() != 0:
            _give_up("containers are built by root here")
        self._program = find("podman", "podman")
        find("runc", "runc")
        store.mkdir(parents=True, exist_ok=True)
        # podman remembers this path, and wants it short.
        run = Path(f"/run/edgeward-{zlib.crc32(bytes(store)):08x}")
        for name, text in (("storage.conf", _STORAGE), ("containers.conf", _CONTAINERS)):
            (store / name).write_text(text.format(store=store, run=run))
        self.store = store
        self.environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(store / "storage.conf"),
            "CONTAINERS_CONF": str(store / "containers.conf"),
        }

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.call([self._program, *arguments], check)

    def call(self, command: Sequence[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        """With `check`, fails the test with what the command said where it does not end with 0."""
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
        return done

    # Images

    def has(self, image: str) -> bool:
        return self("image", "exists", image, check=False).returncode == 0

    def base(self) -> str:
        """The name of the base image, which is made if it is not there: about 40 s."""
        if name := os.environ.get("BASE"):
            return name
        if not self.has(BASE):
            archive = self.store / "base.tar"
            self.call([find("mmdebstrap", "mmdebstrap"), *_DEBIAN, "bookworm", str(archive)])
            self("import", str(archive), BASE)
            archive.unlink()
        return BASE

    def build(self, image: str, dockerfile: Path, context: Path) -> None:
        """Build on the base. Certificates that the host trusts are trusted by what the build downloads."""
        lent = []
        for name, text in (("pip.conf", f"[global]\ncert = {CERTIFICATES}\n"), ("uv.toml", "system-certs = true\n")):
            (self.store / name).write_text(text)
        for source, target in _LENT:
            lent += ["--volume", f"{self.store / source}:{target}:ro"]
        command = ["build", "--quiet", "--layers=false", "--format=docker", *lent, f"--build-arg=BASE={self.base()}"]
        self(*command, f"--file={dockerfile}", f"--tag={image}", str(context))

    # Containers

    @contextlib.contextmanager
    def container(self, image: str, *options: str, command: Sequence[str] = ()) -> Iterator[str]:
        """A running container, by its id, which is removed at the end."""
        name = self("run", "--detach", *options, image, *command).stdout.strip()
        try:
            yield name
        finally:
            self("rm", "--force", "--volumes", "--time=0", name, check=False)

    def inside(self, container: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self("exec", container, *command, check=check)

    def healthy(self, container: str) -> bool:
        """What its own health check says. There is no systemd here that would run it every so often."""
        return self("healthcheck", "run", container, check=False).returncode == 0

    def wait_healthy(self, container: str) -> None:
        self.wait(container, lambda: self.healthy(container))

    def wait(self, container: str, holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Until `holds`; fails with the end of the container's log."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                log = self("logs", container, check=False)
                pytest.fail(f"{container} did not get there:\n{(log.stdout + log.stderr)[-4000:]}")
            time.sleep(0.05)  # an outside process tells nobody when it is ready

    def exit_code(self, container: str) -> int:
        (state,) = json.loads(self("inspect", container).stdout)
        return int(state["State"]["ExitCode"])

    def clean(self, *images: str) -> None:
        """Remove these images, and whatever no container uses."""
        self("rmi", "--force", *images, check=False)
        for kind in ("image", "volume", "network"):
            self(kind, "prune", "--force", check=False)


class Compose:
    """podman-compose with a project of its own, over these files."""

    def __init__(self, podman: Podman, project: str, *files: Path) -> None:
        if importlib.util.find_spec("podman_compose") is None:
            _give_up("podman-compose is not in the environment")
        self._podman = podman
        self._project = project
        self._command = [sys.executable, "-m", "podman_compose", "--project-name", project]
        for file in files:
            self._command += ["--file", str(file)]

    def __call__(self, *arguments: str) -> str:
        """What it printed. Fails the test where it fails."""
        return self._podman.call([*self._command, *arguments]).stdout

    def container(self, service: str) -> str:
        return f"{self._project}_{service}_1"


@contextlib.contextmanager
def podman() -> Iterator[Podman]:
    """One user of the store at a time."""
    made = Podman()
    with (made.store / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made


_DEBIAN = [
    "--quiet",
    "--variant=minbase",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",  # else a package comes along that converts, and all of perl
    "--include=usr-is-merged,python3,python3-venv,ca-certificates",
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")),
]

_LENT = [
    (str(CERTIFICATES), str(CERTIFICATES)),
    ("pip.conf", "/etc/pip.conf"),
    ("uv.toml", "/etc/uv/uv.toml"),
]


def _give_up(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
