"""Log lines: one for each thing that happened, whatever a far end puts into them."""

from __future__ import annotations

import logging

from gateway.log import Lines, printable


def record(message: str) -> logging.LogRecord:
    made = logging.LogRecord("gateway.link", logging.WARNING, "", 0, message, None, None)
    made.created = 1_700_000_000.25
    made.msecs = 250
    return made


def test_line() -> None:
    assert Lines().format(record("press-bus: down")) == "2023-11-14T22:13:20.250Z WARNING press-bus: down"


def test_forged_lines_stay_one_line() -> None:
    text = Lines().format(record("topic\n2023-11-14T22:13:20.250Z INFO all is well\r\x1b[2J\x9b1m\u2028"))
    assert text.splitlines() == [text]
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_what_people_write_stays_readable() -> None:
    assert printable("Lagertemperatur 80 °C – zu heiß") == "Lagertemperatur 80 °C – zu heiß"
