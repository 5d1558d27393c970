"""What a person did to an alarm, as the command line tells it."""

from __future__ import annotations

import msgspec

from gateway.door import AlarmReply
from gateway.log import printable

_DONE = {
    "reset": "reset",
    "shelve": "shelved",
    "unshelve": "taken off the shelf",
    "remove": "taken out of service",
    "place": "put back into service",
}


def show(reply: AlarmReply, json: bool) -> None:
    print(msgspec.json.encode(reply).decode() if json else in_words(reply))


def in_words(reply: AlarmReply) -> str:
    from gateway.cli.overview import conditions

    alarm = reply.alarm
    stands = ", ".join([alarm.state, *conditions(alarm)])
    return printable(f"{alarm.alarm}: {_DONE.get(reply.move, reply.move)} by {reply.user}; it is {stands}")
