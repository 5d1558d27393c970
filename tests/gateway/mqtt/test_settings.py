"""What people write about a broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.drivers.mqtt.certificates import Authority

PASSPHRASE = b"open sesame"
LOADS = """
import sys
from gateway.mqtt.settings import TlsSettings
try:
    TlsSettings(certificate=sys.argv[1], key=sys.argv[2]).context()
except OSError:
    print("refused")
"""


def test_nobody_is_asked_for_the_passphrase_of_a_key(tmp_path: Path) -> None:
    """OpenSSL would ask at the terminal, or take it from the standard input, and the gateway would wait for it."""
    certificate, key = Authority(tmp_path).issue("gateway")
    private = load_pem_private_key(key.read_bytes(), None)
    sealed = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    key.write_bytes(sealed)
    command = [sys.executable, "-c", LOADS, str(certificate), str(key)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # away from whatever terminal there is
    ) as process:
        out, _ = process.communicate(PASSPHRASE + b"\n", timeout=30)
    assert out == b"refused\n"
