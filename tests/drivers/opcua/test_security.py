"""Certificates and users, against node-opcua."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua.client.client import Client
from asyncua.ua import MessageSecurityMode
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from drivers.opcua import Driver, session
from drivers.opcua.login import is_plain
from drivers.opcua.transport import make_client
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from tests.drivers.opcua import links
from tests.drivers.opcua.certificates import issue, make_key
from tests.drivers.opcua.links import make_link, tags
from tests.drivers.receiver import FakeReceiver
from tests.parts.nodeopcua import FOLDER, NodeOpcUa

pytestmark = pytest.mark.real("node-opcua")

VALUES: dict[str, Any] = {"values": {"publishing_interval": "50ms", "tags": tags(level="float64")}}
SECURED = {"security": "basic256sha256", "mode": "sign_and_encrypt"}


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return make_key()


@pytest.fixture(scope="module")
def guarded() -> Iterator[NodeOpcUa]:
    """A server that wants a user."""
    server = NodeOpcUa(users={"op": "right"})
    yield server
    server.stop()


async def receive_one(url: str, **settings: Any) -> None:
    receiver = FakeReceiver(SystemClock())
    async with links.session(make_link(VALUES, url, **settings), receiver):
        await receiver.wait_scans(1)
    assert receiver.scans[0].status is None


async def fail(url: str, problem: str, **settings: Any) -> ConfigError:
    driver = Driver(make_link(VALUES, url, **settings), FakeReceiver(SystemClock()))
    with pytest.raises(ConfigError, match=problem) as caught:
        await driver.open()
    await driver.close()
    return caught.value


class TestCertificates:
    @pytest.mark.parametrize(
        ("security", "mode", "pem"),
        [
            ("basic256sha256", "sign", True),
            ("basic256sha256", "sign_and_encrypt", False),
            ("aes128_sha256_rsaoaep", "sign_and_encrypt", True),
            ("aes256_sha256_rsapss", "sign", False),
            ("aes256_sha256_rsapss", "sign_and_encrypt", True),
        ],
    )
    async def test_values_come_signed_and_encrypted(
        self, server: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey, security: str, mode: str, pem: bool
    ) -> None:
        await receive_one(server.url, security=security, mode=mode, **issue(tmp_path, key, pem=pem))

    async def test_the_server_may_be_pinned(self, server: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey) -> None:
        own = issue(tmp_path, key)
        theirs = server.pki / "server" / "own" / "certs" / "certificate.pem"
        await receive_one(server.url, **SECURED, **own, server_certificate=str(theirs))
        problem = "has another certificate than server_certificate; its SHA-256 is [0-9a-f:]{95}"
        await fail(server.url, problem, **SECURED, **own, server_certificate=own["certificate"])

    async def test_a_server_that_does_not_trust_us(self, tmp_path: Path, key: RSAPrivateKey) -> None:
        shutil.copytree(FOLDER / "pki" / "server" / "own", tmp_path / "server" / "own")
        server = NodeOpcUa(pki=tmp_path, trusting=False)
        try:
            await fail(server.url, "let the server trust our certificate", **SECURED, **issue(tmp_path, key))
        finally:
            server.stop()

    async def test_an_own_certificate_that_expired(self, tmp_path: Path, key: RSAPrivateKey) -> None:
        own = issue(tmp_path, key, days=-1)
        await fail("opc.tcp://127.0.0.1", r"own\.crt expired on \d{4}-\d\d-\d\d: renew it", **SECURED, **own)

    async def test_an_own_certificate_that_will_soon_expire(
        self, server: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey
    ) -> None:
        receiver = FakeReceiver(SystemClock())
        link = make_link(VALUES, server.url, **SECURED, **issue(tmp_path, key, days=5))
        async with links.session(link, receiver), asyncio.timeout(10):
            while not receiver.cautions:
                await asyncio.sleep(0.01)
        assert "own.crt expires within 7 days" in receiver.cautions[0]

    async def test_files_that_are_not_what_they_should_be(self, tmp_path: Path, key: RSAPrivateKey) -> None:
        url, own = "opc.tcp://127.0.0.1", issue(tmp_path, key)
        other = issue(tmp_path, make_key(), "other")
        await fail(url, "does not belong to the certificate", **SECURED, **own | {"key": other["key"]})
        await fail(url, "is no certificate, neither", **SECURED, **own | {"certificate": own["key"]})
        await fail(url, "is no private key, neither", **SECURED, **own | {"key": own["certificate"]})
        await fail(url, "cannot be read: No such file", **SECURED, **own | {"key": str(tmp_path / "gone")})

    async def test_what_the_server_does_not_offer(self, tmp_path: Path, key: RSAPrivateKey) -> None:
        server = NodeOpcUa(policies=["None", "Basic256Sha256"])
        wanted = {"security": "aes256_sha256_rsapss", "mode": "sign"}
        try:
            problem = "does not offer this security and mode; it offers Basic256Sha256 Sign, Basic256Sha256 SignAnd"
            await fail(server.url, problem, **wanted, **issue(tmp_path, key))
        finally:
            server.stop()

    @pytest.mark.slow
    async def test_the_keys_of_the_channel_are_renewed(
        self, server: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        renewed = asyncio.Event()
        times = 0

        async def renew(client: Client, renew: bool = False) -> None:
            nonlocal times
            await opened(client, renew)
            times += renew
            if times == 3:
                renewed.set()

        opened = Client.open_secure_channel
        monkeypatch.setattr(Client, "open_secure_channel", renew)
        monkeypatch.setattr(session, "CHANNEL_MS", 1_000)
        receiver = FakeReceiver(SystemClock())
        # With a keep-alive, as keys are only taken into use by what is sent.
        link = make_link(VALUES, server.url, keepalive="200ms", **SECURED, **issue(tmp_path, key))
        async with links.session(link, receiver):
            async with asyncio.timeout(20):
                await renewed.wait()
            count = len(receiver.scans)
            server.set("level", 1.5)
            await receiver.wait_scans(count + 1)


class TestUsers:
    def test_a_password_that_nothing_would_encrypt(self) -> None:
        client, _ = make_client("opc.tcp://plc", 1.0)
        assert is_plain(client)
        client.security_policy.Mode = MessageSecurityMode.SignAndEncrypt
        assert not is_plain(client)

    async def test_a_user_comes_in_and_nobody_else(self, guarded: NodeOpcUa, monkeypatch: pytest.MonkeyPatch) -> None:
        login = {"username": "op", "password": {"env": "PLC_PASSWORD"}}
        monkeypatch.setenv("PLC_PASSWORD", "right")
        await receive_one(guarded.url, **login)
        monkeypatch.setenv("PLC_PASSWORD", "wrong")
        error = await fail(guarded.url, r"refuses us: user access denied .*look at username and password", **login)
        assert "wrong" not in str(error)
        await fail(guarded.url, "refuses us: identity token", username=None)
        monkeypatch.delenv("PLC_PASSWORD")
        await fail(guarded.url, "PLC_PASSWORD is not set", **login)

    async def test_a_user_on_a_secured_channel(
        self, guarded: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLC_PASSWORD", "right")
        login = {"username": "op", "password": {"env": "PLC_PASSWORD"}}
        await receive_one(guarded.url, **login, **SECURED, **issue(tmp_path, key))

    async def test_a_user_with_a_certificate(self, guarded: NodeOpcUa, tmp_path: Path, key: RSAPrivateKey) -> None:
        user = {f"user_{kind}": path for kind, path in issue(tmp_path, make_key(), "user").items()}
        await receive_one(guarded.url, **user, **SECURED, **issue(tmp_path, key))
