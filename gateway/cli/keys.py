"""`edgeward journal rotate-key` and `edgeward journal recovery-key`."""

from __future__ import annotations

import os
from argparse import Namespace

import msgspec

from gateway.cli.bar import bar
from gateway.cli.client import CallFailed
from gateway.cli.journal import connected
from gateway.cli.words import counted
from gateway.inquiry import Progress, RotateKey, RotateReply


def run(options: Namespace) -> int:
    return _rotate(options) if options.work == "rotate-key" else _make(options)


def _rotate(options: Namespace) -> int:
    with connected(options) as journal, bar("wrapping", not options.json) as tell:
        for reply in journal.run(RotateKey()):
            match reply:
                case Progress():
                    tell(reply.done, reply.total)
                case RotateReply():
                    break
        else:
            raise CallFailed("the gateway hung up before it was done; it goes on by itself")
    if options.json:
        print(msgspec.json.encode(reply).decode())
    else:
        assert isinstance(reply, RotateReply)
        print(
            f"a new key wraps everything, {counted(reply.segments, 'segments')} among it; the one before opens nothing"
        )
        print("a copy of journal.key that you keep has to be made anew")
    return 0


def _make(options: Namespace) -> int:
    """The private half is written before anybody is told of the public one."""
    from gateway.journal.keys import recovery_pair

    private, public = recovery_pair()
    try:
        handle = os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{private}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        hint = "a recovery key is never overwritten: choose another name"
        raise CallFailed(f"{options.output} exists already", hint) from None
    except OSError as error:
        raise CallFailed(str(error)) from error
    if options.json:
        print(msgspec.json.encode({"file": str(options.output), "recovery_key": public}).decode())
        return 0
    print(f"{options.output} holds the private half: put it into a safe, and off this machine")
    print("the public half belongs into the configuration. Restart the gateway; what comes in from then on can be")
    print("recovered, and after edgeward journal rotate-key what was there before, too:")
    print(f'journal: {{recovery_key: "{public}"}}')
    return 0
