"""`edgeward journal`: what it holds, whether that can be read, and what people may do with it.

Through the control door while the gateway runs, directly when it does not.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from gateway.cli.client import CallFailed, Client, complain, configuration, find
from gateway.door import AnyRequest
from gateway.inquiry import AnyErrand
from gateway.phrase import Reply

if TYPE_CHECKING:
    from gateway.cli.direct import Place

_Reply = TypeVar("_Reply", bound=Reply)

_MODULES = {
    "status": "holdings",
    "verify": "verify",
    "export": "export",
    "list": "letters",
    "show": "letters",
    "replay": "letters",
    "drop": "letters",
    "rotate-key": "keys",
    "recovery-key": "keys",
}


class Counterpart(Protocol):
    """Whoever answers about a journal. Both raise CallFailed."""

    def ask(self, request: AnyRequest, expected: type[_Reply]) -> _Reply: ...

    def run(self, errand: AnyErrand) -> Iterator[Reply]: ...


def run(options: Namespace) -> int:
    """0 if it is done and all is well, 1 if not."""
    try:
        code: int = import_module(f"gateway.cli.{_MODULES[options.work]}").run(options)
    except CallFailed as error:
        complain(error, options.json)
        return 1
    return code


@contextmanager
def connected(options: Namespace) -> Iterator[Counterpart]:
    """The gateway, where it runs, else its journal. Raises CallFailed."""
    client = _client(options)
    if client.is_there or _is_remote(options):
        yield client
        return
    from gateway.cli import direct

    with direct.opened(place(options)) as journal:
        yield journal


def place(options: Namespace) -> Place:
    """Where the journal is that is meant. Raises CallFailed."""
    from gateway.cli import direct

    if options.data is not None:
        return direct.unconfigured(options.data)
    return direct.configured(options.config or configuration())


def _client(options: Namespace) -> Client:
    return find(options) if options.data is None else Client(options.data / "control.sock")


def _is_remote(options: Namespace, environment: Mapping[str, str] = os.environ) -> bool:
    """Where only the socket is known, nobody knows where the journal is."""
    if options.data is not None or options.config is not None:
        return False
    return options.socket is not None or bool(environment.get("EDGEWARD_SOCKET"))


def exists(path: Path, is_forced: bool) -> None:
    """Raises CallFailed where a file must not be written over."""
    if path.exists() and not is_forced:
        raise CallFailed(f"{path} exists already", "choose another name, or --force to overwrite it")
