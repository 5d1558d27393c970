"""Calls the control door of a running gateway. Plain blocking sockets: there is one caller, and nothing beside it."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway import door
from gateway.door import AnyReply, AnyRequest, Failure
from gateway.errors import ConfigError, GatewayError
from gateway.inquiry import AnyErrand
from gateway.log import printable
from gateway.phrase import Reply

_Reply = TypeVar("_Reply", bound=Reply)

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""Longer than any write or reload may take."""

_ERRAND_SECONDS = 300.0
"""Longer than anything takes between two replies."""

_CONFIGURATIONS = ("edgeward.yaml", "edgeward.yml")

_decoder = msgspec.json.Decoder(AnyReply)


class CallFailed(GatewayError):
    """The gateway said no, or nobody answered; `failure` says so in words. Tell the person who asked."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(message, hint)


class Client:
    def __init__(self, path: Path) -> None:
        """Nothing is called before the first request."""
        self.path = path

    def ask(self, request: AnyRequest, expected: type[_Reply]) -> _Reply:
        """One request, one reply. Raises CallFailed."""
        return next(self._replies(request, expected, _ANSWER_SECONDS))

    def watch(self, request: door.Watch) -> Iterator[door.ReadingsReply]:
        """Replies without end. Raises CallFailed when the gateway ends."""
        return self._replies(request, door.ReadingsReply, None)

    def run(self, errand: AnyErrand) -> Iterator[Reply]:
        """Replies, until it is done. Who lets go of them ends the errand. Raises CallFailed."""
        return self._replies(errand, Reply, _ERRAND_SECONDS)

    @property
    def is_there(self) -> bool:
        """Somebody listens, also if they would not listen to us."""
        try:
            self._connect().close()
        except CallFailed as error:
            return isinstance(error.__context__, PermissionError)
        return True

    def _replies(self, request: AnyRequest, expected: type[_Reply], patience: float | None) -> Iterator[_Reply]:
        with self._connect() as connection, connection.makefile("rb") as lines:
            connection.settimeout(patience)
            try:
                connection.sendall(msgspec.json.encode(request) + b"\n")
                for line in lines:
                    yield _understood(line, expected)
            except OSError as error:
                raise CallFailed(f"the gateway at {self.path} does not answer: {error}") from error
        raise CallFailed(f"the gateway at {self.path} has ended")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(bytes(door.fitting(self.path)))
        except PermissionError:
            connection.close()
            hint = "root and the user that the gateway runs as may"
            raise CallFailed(f"you may not talk to the gateway at {self.path}", hint) from None
        except (OSError, ConfigError) as error:
            connection.close()
            hint = "is it running? edgeward run CONFIG starts it" if isinstance(error, OSError) else str(error)
            raise CallFailed(f"no gateway answers at {self.path}", hint) from error
        return connection


def _understood(line: bytes, expected: type[_Reply]) -> _Reply:
    try:
        reply = _decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise CallFailed(f"the gateway's answer cannot be understood: {error}", "is it of another version?") from error
    if isinstance(reply, Failure):
        raise CallFailed(reply.message, reply.hint)
    if not isinstance(reply, expected):
        raise CallFailed(f"the gateway answered something else: {type(reply).__name__}")
    return reply


def find(options: Namespace, environment: Mapping[str, str] = os.environ) -> Client:
    """The gateway that is meant. Raises CallFailed where nothing says which."""
    if options.socket is not None:
        return Client(options.socket)
    if options.config is not None:
        return Client(_socket_of(options.config))
    if path := environment.get("EDGEWARD_SOCKET"):
        return Client(Path(path))
    return Client(_socket_of(configuration()))


def configuration() -> Path:
    """The one in the working directory. Raises CallFailed."""
    for name in _CONFIGURATIONS:
        if (path := Path(name)).is_file():
            return path
    raise CallFailed(
        f"which gateway? there is no {_CONFIGURATIONS[0]} here", "say it with --config FILE or --socket PATH"
    )


def _socket_of(configuration: Path) -> Path:
    from gateway.problems import Report
    from gateway.source import data_of

    report = Report()
    data = data_of(configuration, report)
    if data is None:
        raise CallFailed(str(next(iter(report))))
    return data / "control.sock"


def complain(error: CallFailed, json: bool) -> None:
    """On the standard error for people; for programs where they read everything else."""
    if json:
        print(msgspec.json.encode(error.failure).decode())
        return
    hint = f"\n    {printable(error.failure.hint)}" if error.failure.hint else ""
    print(f"edgeward: {printable(error.failure.message)}{hint}", file=sys.stderr)
