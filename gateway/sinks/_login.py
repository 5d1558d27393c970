"""How a client of NATS shows who it is, and that TLS is there before it does."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import nkeys

from gateway.errors import SinkHeld
from gateway.sinks._words import brief

_CREDENTIALS = re.compile(r"BEGIN NATS USER JWT-+\s+(\S+)\s.*BEGIN USER NKEY SEED-+\s+(\S+)\s", re.DOTALL)


class Tls(ssl.SSLContext):
    """Knows whether it was used: where a server does not offer TLS, or somebody on the way takes the offer away, the
    library would go on in the clear."""

    is_used = False

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.is_used = True
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def prove(self) -> None:
        """Raises `SinkHeld` where the connection is not secure; the handshake is over when anybody asks."""
        if not self.is_used:
            raise SinkHeld("the server offers no TLS, and the URL asks for it: no value and no secret was sent")


def secured(ca_file: Path | None, certificate: Path | None, key: Path | None) -> Tls:
    """TLS 1.2 or later; the server's certificate and host name are always verified. Raises `SinkHeld`."""
    context = Tls(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(ca_file)
        if certificate is not None:
            # Without a password to try, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise SinkHeld(f"the certificates cannot be used: {brief(str(error))}") from error
    return context


class Login(TypedDict, total=False):
    """What the library is told about us: functions that it calls once the connection is secure, if it is to be."""

    user: Callable[[], str]
    password: Callable[[], str]
    token: Callable[[], str]
    nkeys_seed_str: str
    user_jwt_cb: Callable[[], bytes]
    signature_cb: Callable[[str], bytes]


def guarded(text: str, tls: Tls | None) -> Callable[[], str]:
    """Gives the text away, but never in the clear where TLS is wanted."""

    def give() -> str:
        if tls is not None:
            tls.prove()
        return text

    return give


def by_nkey(seed: str, tls: Tls | None) -> Login:
    """Raises `SinkHeld` where it is no seed."""
    # There is no token; but it is asked for before the signature is sent.
    return {"nkeys_seed_str": _seed(seed), "token": guarded("", tls)}


def by_credentials(text: str, tls: Tls | None) -> Login:
    """From a .creds file. Raises `SinkHeld` where it is none."""
    found = _CREDENTIALS.search(text + "\n")
    if found is None:
        raise SinkHeld("the credentials hold no user JWT with its seed: it is the whole .creds file that is needed")
    give, seed = guarded(found[1], tls), _seed(found[2])
    return {"user_jwt_cb": lambda: give().encode(), "signature_cb": lambda nonce: sign(seed, nonce)}


def _seed(text: str) -> str:
    sign(text, "")
    return text


def sign(seed: str, nonce: str) -> bytes:
    """The signature of a nonce, in base64. Raises `SinkHeld`, in whose words the seed never stands."""
    try:
        signature = nkeys.from_seed(bytearray(seed.encode())).sign(nonce.encode())
    except (nkeys.NkeysError, ValueError):  # binascii.Error is one
        raise SinkHeld("what should be the seed of a user's nkey (SU…) is none") from None
    return base64.b64encode(signature)
