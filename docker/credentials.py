"""The passwords of compose.yaml, made at its first start. What is there already is left alone.

    python credentials.py                  makes what is missing
    python credentials.py machine NAME     lets the machine NAME publish, and prints its new password

Each service has a folder of its own, which it alone may enter. Nothing but the standard library is used here, and
nothing is printed but a machine's password.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from base64 import b64encode
from pathlib import Path

SECRETS = Path("/secrets")
TOKENS = Path("/tokens")

# The users of the images.
GATEWAY = 10001
MOSQUITTO = 1883
INFLUXDB = 1000
GRAFANA = 472

OURS = ("edgeward", "health")
MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

_ITERATIONS = 101  # Mosquitto's own: more would slow the broker down, and add nothing to 256 random bits


def make(vault: Path, tokens: Path) -> None:
    """Everything that is missing. Whatever moment the power fails at, the next start completes it."""
    database = folder(vault / "influxdb", INFLUXDB)
    once(database / "admin-password")
    once(database / "admin-token")
    once(folder(vault / "grafana", GRAFANA) / "admin-password")
    broker = folder(vault / "mosquitto", MOSQUITTO)
    health = once(broker / "health-password")
    replace(broker / "mosquitto_sub", f"-h 127.0.0.1\n-u health\n-P {health}\n")
    gateway = once(folder(vault / "gateway", GATEWAY) / "mqtt-password")
    for user, password in zip(OURS, (gateway, health), strict=True):
        if user not in users(broker / "passwords"):
            allow(broker / "passwords", user, password)
    prepare(tokens)


def prepare(tokens: Path) -> None:
    """Places for the tokens that InfluxDB hands out when it has made its database, by influxdb/tokens.sh. The gateway's
    is there from the start, empty: the gateway does not wait for InfluxDB, and reads it again when it is refused."""
    folder(tokens / "grafana", GRAFANA, INFLUXDB)
    place = folder(tokens / "gateway", GATEWAY, INFLUXDB) / "influxdb"
    if not place.exists():
        place.touch()
        place.chmod(0o644)  # the folder keeps everybody else out
        os.chown(place, INFLUXDB, INFLUXDB)


def admit(vault: Path, machine: str) -> str:
    """The new password of a machine. Raises ValueError where that cannot be its name."""
    if not MACHINE.fullmatch(machine) or machine in OURS:
        raise ValueError(f"a machine cannot be called {machine!r}")
    password = secrets.token_urlsafe(32)
    allow(vault / "mosquitto" / "passwords", machine, password)
    return password


def folder(path: Path, owner: int, group: int | None = None) -> Path:
    """For its owner alone; a `group` may use it too."""
    path.mkdir(exist_ok=True)
    os.chown(path, owner, owner if group is None else group)
    path.chmod(0o700 if group is None else 0o770)
    return path


def once(path: Path) -> str:
    """The secret in `path`; a new one if there is none yet."""
    if not path.exists():
        replace(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="ascii")


def replace(path: Path, text: str) -> None:
    """Whole or not at all; for whom the folder belongs to."""
    fresh = path.with_name(f".{path.name}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    place = path.parent.stat()
    os.chown(fresh, place.st_uid, place.st_gid)
    fresh.replace(path)


def users(passwords: Path) -> dict[str, str]:
    """The lines of Mosquitto's password file, by user."""
    if not passwords.exists():
        return {}
    return {line.partition(":")[0]: line for line in passwords.read_text(encoding="ascii").splitlines()}


def allow(passwords: Path, user: str, password: str) -> None:
    """Write the user into Mosquitto's password file, instead of any older entry."""
    lines = users(passwords) | {user: f"{user}:{digest(password, os.urandom(12))}"}
    replace(passwords, "".join(f"{line}\n" for line in lines.values()))


def digest(password: str, salt: bytes) -> str:
    """As Mosquitto's password file has it: PBKDF2 with HMAC-SHA-512, 64 bytes."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, 64)
    return f"$7${_ITERATIONS}${b64encode(salt).decode()}${b64encode(key).decode()}"


def main(arguments: list[str]) -> int:
    make(SECRETS, TOKENS)
    match arguments:
        case []:
            return 0
        case ["machine", name]:
            try:
                sys.stdout.write(f"{admit(SECRETS, name)}\n")
            except ValueError as error:
                sys.exit(str(error))
            return 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
