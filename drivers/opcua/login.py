"""From a URL to an activated session: the endpoint, the certificates on both ends, the user."""

from __future__ import annotations

from typing import Final

from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.crypto.uacrypto import x509_from_der
from asyncua.ua import EndpointDescription, MessageSecurityMode, UserTokenType
from cryptography.x509 import Certificate

from drivers.opcua.credentials import Identity, fingerprint, load_certificate, load_identity
from drivers.opcua.settings import LinkSettings
from drivers.opcua.transport import make_client
from gateway.clock import SECOND
from gateway.errors import ConfigError

ANONYMOUS_URI: Final = "urn:edgeward"

_MODES: Final = {
    "sign": MessageSecurityMode.Sign,
    "sign_and_encrypt": MessageSecurityMode.SignAndEncrypt,
}
_POLICIES: Final[dict[str, type[SecurityPolicy]]] = {
    "basic256sha256": security_policies.SecurityPolicyBasic256Sha256,
    "aes128_sha256_rsaoaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "aes256_sha256_rsapss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}


async def log_in(client: Client, settings: LinkSettings, now: int) -> None:
    """Open an activated session on a fresh `client`. Raises ConfigError, and whatever asyncua raises."""
    client.session_timeout = settings.session_timeout // 1_000_000
    client.name = client.description = "Edgeward"
    client.application_uri = settings.application_uri or ANONYMOUS_URI
    if settings.certificate is not None and settings.key is not None:
        own = load_identity(settings.certificate, settings.key, now)
        client.application_uri = settings.application_uri or own.application_uri or ANONYMOUS_URI
        if settings.security != "none":
            await _secure(client, settings, own)
    if settings.user_certificate is not None and settings.user_key is not None:
        user = load_identity(settings.user_certificate, settings.user_key, now)
        client.user_certificate, client.user_private_key = user.certificate, user.key
    password = _password(settings)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.create_session()
    if password is not None and not settings.plain_password and is_plain(client):
        raise ConfigError(
            f"the server {settings.url} wants the password unencrypted: set security and mode, or plain_password: true"
        )
    await client.activate_session(settings.username, password, client.user_certificate)


def _password(settings: LinkSettings) -> str | None:
    try:
        return settings.password.reveal() if settings.password else None
    except LookupError as error:
        raise ConfigError(f"cannot log in to {settings.url}: {error}") from error


def is_plain(client: Client) -> bool:
    """Neither the secure channel nor the user token policy (OPC UA Part 4, 7.40.2.2) would encrypt a password."""
    token = client.server_policy(UserTokenType.UserName).SecurityPolicyUri
    open_token = not token or token == security_policies.SecurityPolicyNone.URI
    return open_token and client.security_policy.Mode != MessageSecurityMode.SignAndEncrypt


async def _secure(client: Client, settings: LinkSettings, own: Identity) -> None:
    policy, mode = _POLICIES[settings.security], _MODES[settings.mode or "sign_and_encrypt"]
    offered = await _endpoints(settings)
    found = [each for each in offered if each.SecurityMode == mode and each.SecurityPolicyUri == policy.URI]
    if not found:
        there = ", ".join(sorted({_described(each) for each in offered})) or "nothing"
        raise ConfigError(f"the server {settings.url} does not offer this security and mode; it offers {there}")
    theirs: Certificate | None = x509_from_der(found[0].ServerCertificate)  # type: ignore[no-untyped-call]
    if theirs is None:
        raise ConfigError(f"the server {settings.url} has no certificate")
    _check_pin(settings, theirs)
    secured = policy(theirs, own.certificate, own.key, mode)
    client.security_policy = secured  # type: ignore[assignment]  # asyncua declares the type of its default
    client.uaclient.set_security(secured)


def _check_pin(settings: LinkSettings, theirs: Certificate) -> None:
    if settings.server_certificate is None or load_certificate(settings.server_certificate) == theirs:
        return
    raise ConfigError(
        f"the server {settings.url} has another certificate than server_certificate; its SHA-256 is "
        f"{fingerprint(theirs)}"
    )


async def _endpoints(settings: LinkSettings) -> list[EndpointDescription]:
    """What the server offers, asked on a connection of its own and without security. Nothing in it is trusted more
    than that: with another certificate than the server's own, the secure channel will not open."""
    client, transport = make_client(settings.url, settings.timeout / SECOND)
    try:
        return await client.connect_and_get_server_endpoints()
    finally:
        transport.abort()


def _described(endpoint: EndpointDescription) -> str:
    return f"{endpoint.SecurityPolicyUri.rpartition('#')[2]} {endpoint.SecurityMode.name}"
