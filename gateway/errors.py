"""What can go wrong, named after what the caller must do next."""

from __future__ import annotations


class GatewayError(Exception):
    """The root of every error that Edgeward raises on purpose."""

    brief = ""
    """What a log says instead, where the reason is in the far end's own words: they may quote what was sent to it."""


class ConfigError(GatewayError):
    """No retry can help: somebody has to change the configuration or the far end. Do not reconnect by itself."""


class ConnectionLost(GatewayError):
    """The link is gone. Close this session or keep the chunk, wait, and try again.

    `retry_after_s` is the far end's own wish, where it gave one.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NotConnected(ConnectionLost):
    """The link was down already, and nothing was sent. Whatever it was can be sent when the link is back."""


class DeviceSilent(GatewayError):
    """This device gave no usable answer while its link still stands. Leave the link alone; try the device later."""


class CommandRefused(GatewayError):
    """The far end, or a guard on the way to it, said no. Report it; do not repeat the command."""


class JournalFull(GatewayError):
    """Nothing more can be kept for now. Make the source wait if it can; count what is lost if it cannot."""


class ServerFailed(GatewayError):
    """The sink's server answered that it failed (5xx). Try again; after several times alike, suspect the content."""


class ChunkRejected(GatewayError):
    """The sink's server refuses this content for good. Halve it until the culprit stands alone, and set that aside."""


class ChunkTooLarge(GatewayError):
    """The sink's server wants less at once. Halve it and send both halves."""


class SinkHeld(GatewayError):
    """The sink's server refuses us, not the content (401, 403, 404). Keep everything, tell somebody, try rarely."""


def innermost(error: BaseException) -> BaseException:
    """The first of what a task group raises."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
