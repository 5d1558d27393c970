"""What is said of certificates that will soon be of no use."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from drivers.opcua.expiry import caution
from drivers.opcua.settings import LinkSettings
from gateway.clock import SECOND, SystemClock
from tests.drivers.opcua.certificates import issue, make_key

DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return make_key()


def settings(**more: object) -> LinkSettings:
    return LinkSettings.model_validate({"driver": "opcua", "url": "opc.tcp://h"} | more)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (31, ""),
        (29, "expires within 30 days, on 20"),
        (8, "expires within 30 days"),
        (6, "expires within 7 days"),
        (0.5, "expires within a day, on 20"),
        (-1, "expired on 20"),
    ],
)
def test_it_is_said_in_time(tmp_path: Path, key: RSAPrivateKey, before: float, words: str) -> None:
    own = settings(**issue(tmp_path, key, days=100))
    end = SystemClock().now() + 99 * DAY + 3600 * SECOND  # as `issue` has it: from yesterday on, and an hour
    said = caution(own, round(end - before * DAY))
    assert said == "" if not words else said.startswith(f"our certificate {tmp_path / 'own.crt'} {words}")


def test_of_each_certificate_and_of_those_that_are_there(tmp_path: Path, key: RSAPrivateKey) -> None:
    assert caution(settings(), 0) == ""
    user = {f"user_{kind}": path for kind, path in issue(tmp_path, key, "user", days=3).items()}
    both = settings(**issue(tmp_path, key, days=20), **user)
    said = caution(both, SystemClock().now())
    assert "own.crt expires within 30 days" in said
    assert "; our certificate" in said
    assert "user.crt expires within 7 days" in said
    issue(tmp_path, key, days=1000)
    (tmp_path / "user.crt").unlink()
    assert caution(both, SystemClock().now()).endswith("user.crt cannot be read: No such file or directory")
