"""What a server answers instead of doing what it was asked (OPC UA Part 4, 7.39): in words, and as what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asyncua.ua.status_codes import StatusCodes, get_name_and_doc
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography.exceptions import InvalidSignature

from gateway.errors import ConfigError, ConnectionLost, GatewayError

_USER: Final = "look at username and password, or at user_certificate, and at what the server allows"
_TRUST: Final = "let the server trust our certificate, and look at security and mode"
_OWN: Final = "look at our certificate"
_SERVERS: Final = "look at the certificate of the server"

PERMANENT: Final = {
    StatusCodes.BadUserAccessDenied: _USER,
    StatusCodes.BadIdentityTokenInvalid: _USER,
    StatusCodes.BadIdentityTokenRejected: _USER,
    StatusCodes.BadUserSignatureInvalid: _USER,
    StatusCodes.BadSecurityChecksFailed: _TRUST,
    StatusCodes.BadSecurityPolicyRejected: _TRUST,
    StatusCodes.BadSecurityModeRejected: _TRUST,
    StatusCodes.BadSecurityModeInsufficient: _TRUST,
    StatusCodes.BadCertificateUntrusted: _TRUST,
    StatusCodes.BadApplicationSignatureInvalid: _TRUST,
    StatusCodes.BadCertificateInvalid: _OWN,
    StatusCodes.BadCertificateTimeInvalid: "our certificate has expired, or is not valid yet, by the server's clock",
    StatusCodes.BadCertificateIssuerTimeInvalid: "the issuer of our certificate has expired, by the server's clock",
    StatusCodes.BadCertificateHostNameInvalid: _SERVERS,
    StatusCodes.BadCertificateUriInvalid: "the URI in our certificate is not our application_uri",
    StatusCodes.BadCertificateUseNotAllowed: _OWN,
    StatusCodes.BadCertificateIssuerUseNotAllowed: _OWN,
    StatusCodes.BadCertificatePolicyCheckFailed: _OWN,
    StatusCodes.BadCertificateRevoked: _OWN,
    StatusCodes.BadCertificateIssuerRevoked: _OWN,
    StatusCodes.BadCertificateChainIncomplete: _TRUST,
    StatusCodes.BadTcpEndpointUrlInvalid: "look at url",
}
"""Refusals that waiting does not change, and what to look at."""

SILENCE: Final = frozenset(
    {
        StatusCodes.BadNoCommunication,
        StatusCodes.BadNotConnected,
        StatusCodes.BadDeviceFailure,
        StatusCodes.BadCommunicationError,
        StatusCodes.BadTimeout,
    }
)
"""The server speaks, and what it says is that the device behind it does not."""


GONE: Final = frozenset(
    {
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionNotActivated,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadServerHalted,
        StatusCodes.BadShutdown,
    }
)
"""Whatever was asked for, the session is no more."""

NO_ROOM: Final = frozenset(
    {
        StatusCodes.BadTooManySubscriptions,
        StatusCodes.BadServiceUnsupported,
        StatusCodes.BadNotImplemented,
        StatusCodes.BadNotSupported,
    }
)
"""A server that has no subscription for us, or none at all, can still be read."""


_LOST: Final = (UaError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)


class NoRoom(Exception):
    """The server makes no further subscription, and the text says why; everything else goes on."""


def words(status: int) -> str:
    """`not writable (BadNotWritable)`."""
    name = get_name_and_doc(status & 0xFFFF_0000)[0]
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("Bad")).lower()
    return f"{plain} ({name})" if name != "Bad" else f"status 0x{status:08X}"


def refused(where: str, status: int) -> GatewayError:
    """ConfigError for what somebody has to change, or else ConnectionLost."""
    if status in PERMANENT:
        return ConfigError(f"the server {where} refuses us: {words(status)}; {PERMANENT[status]}")
    return ConnectionLost(f"the server {where} refuses: {words(status)}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Whatever asyncua raises, as ConfigError or ConnectionLost."""
    try:
        yield
    except UaStatusCodeError as error:
        raise refused(where, error.code) from error
    except TimeoutError as error:
        raise ConnectionLost(f"no answer from {where} in time") from error
    except OSError as error:
        raise ConnectionLost(f"no connection to {where}: {error}") from error
    except InvalidSignature as error:
        raise ConnectionLost(f"what {where} sent is not signed with its certificate") from error
    except _LOST as error:  # a parser at its wits' end
        raise ConnectionLost(f"what {where} sent makes no sense: {error}") from error
