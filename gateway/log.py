"""How the gateway tells people what happens: plain lines on the standard error, one for each thing that happened."""

from __future__ import annotations

import logging
import re
import time

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LOUD = ("aiocoap", "aiohttp", "asyncio", "paho", "pymodbus", "sqlalchemy", "urllib3")


def printable(text: str) -> str:
    """`text` on one line and without anything that a terminal would obey: much of it comes from the far end."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class Lines(logging.Formatter):
    """Time in UTC, level, text."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        record.message = printable(record.message)
        return super().formatMessage(record)


def start(verbose: bool = False) -> None:
    """Everything of ours from `info` on, or from `debug` on; of the libraries what is a warning."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say reaches us as exceptions
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)


def hush() -> None:
    """Nothing, where a command says itself what went wrong: else Python shows what libraries tell."""
    logging.getLogger().addHandler(logging.NullHandler())
