from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

import pytest

from docker import credentials


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Whom each path was given to; only root may do it in earnest."""
    given: dict[str, tuple[int, int]] = {}

    def chown(path: Path, user: int, group: int) -> None:
        given[Path(path).name] = (user, group)

    monkeypatch.setattr(os, "chown", chown)
    return given


@pytest.fixture
def places(tmp_path: Path, owners: dict[str, tuple[int, int]]) -> tuple[Path, Path]:
    vault, tokens = tmp_path / "secrets", tmp_path / "tokens"
    vault.mkdir()
    tokens.mkdir()
    return vault, tokens


def contents(*roots: Path) -> dict[Path, str]:
    return {path: path.read_text() for root in roots for path in sorted(root.rglob("*")) if path.is_file()}


def test_everything_is_made_once(places: tuple[Path, Path]) -> None:
    credentials.make(*places)
    first = contents(*places)
    credentials.make(*places)
    assert contents(*places) == first
    assert len(first) == 8


def test_secrets_differ(places: tuple[Path, Path]) -> None:
    credentials.make(*places)
    secrets = [text for path, text in contents(places[0]).items() if path.name.startswith(("admin", "mqtt", "health"))]
    assert len(set(secrets)) == len(secrets) == 5
    assert all(len(secret) == 43 for secret in secrets)  # 256 bits in base64


def test_nobody_else_may_look(places: tuple[Path, Path], owners: dict[str, tuple[int, int]]) -> None:
    vault, tokens = places
    credentials.make(vault, tokens)
    assert {path.name: path.stat().st_mode & 0o777 for path in vault.iterdir()} == dict.fromkeys(
        ("influxdb", "grafana", "mosquitto", "gateway"), 0o700
    )
    assert {path.stat().st_mode & 0o777 for path in vault.rglob("*") if path.is_file()} == {0o400}
    assert {path.stat().st_mode & 0o777 for path in tokens.iterdir()} == {0o770}
    assert owners["mosquitto"] == (credentials.MOSQUITTO, credentials.MOSQUITTO)
    assert owners["gateway"] == (credentials.GATEWAY, credentials.INFLUXDB)  # of the tokens, made last


@pytest.mark.parametrize("missing", ["mosquitto/passwords", "mosquitto/mosquitto_sub", "gateway/mqtt-password"])
def test_what_is_missing_is_made_again(places: tuple[Path, Path], missing: str) -> None:
    credentials.make(*places)
    (places[0] / missing).unlink()
    credentials.make(*places)
    assert (places[0] / missing).stat().st_size


def test_digest_is_mosquittos() -> None:
    """Against a line that mosquitto_passwd 2.0.11 wrote."""
    salt = "xC7a3o7KZu92H1Rl"
    line = (
        "$7$101$xC7a3o7KZu92H1Rl$"
        "nc81V8pX+0TBZ1kNyMMkqLsymtnqpDZqOy53i+XneGhx9Whbqmt5JZ1DNofDlg3ZzQSx/OWChC3iT7oh77aL1A=="
    )
    assert credentials.digest("correct-horse", b64decode(salt)) == line


def test_machine_gets_a_new_password(places: tuple[Path, Path]) -> None:
    credentials.make(*places)
    passwords = places[0] / "mosquitto" / "passwords"
    first = credentials.admit(places[0], "press-1")
    known = credentials.users(passwords)
    assert credentials.admit(places[0], "press-1") != first
    assert list(known) == list(credentials.users(passwords)) == ["edgeward", "health", "press-1"]
    assert known["press-1"] != credentials.users(passwords)["press-1"]
    assert known["edgeward"] == credentials.users(passwords)["edgeward"]


@pytest.mark.parametrize("name", ["", "edgeward", "health", "a:b", "a\nedgeward:x", "+", "../x", "#"])
def test_machine_has_a_name(places: tuple[Path, Path], name: str) -> None:
    credentials.make(*places)
    before = contents(*places)
    with pytest.raises(ValueError, match="cannot be called"):
        credentials.admit(places[0], name)
    assert contents(*places) == before
