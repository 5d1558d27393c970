from __future__ import annotations

import pytest

from gateway.cli import words
from gateway.clock import SECOND
from gateway.door import TagReading


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1.0, "0.0 s"),
        (0.34, "0.3 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "60 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (86400 * 4 + 3 * 3600 + 59, "4 d 3 h"),
    ],
)
def test_span(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "–"),
        (True, "true"),
        ((1 << 64) - 1, "18446744073709551615"),
        (0.10000000149011612, "0.1"),
        (1e300, "1e+300"),
        ("running", "running"),
        ("\x1b[31mred\n", r"\x1b[31mred\n"),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_value(given: bool | int | float | str | None, text: str) -> None:
    assert words.value(given) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (0.25, "0.2"), (12.5, "12.5"), (49_876.4, "49,876")])
def test_count(number: float, text: str) -> None:
    assert words.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (64 << 20, "67.1 MB"), (5e12, "5,000 GB")]
)
def test_size(number: float, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("values", "bars"), [([], ""), ([5.0, 5.0], "▄▄"), ([0.0, 1.0], "▁█"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█")]
)
def test_sparkline(values: list[float], bars: str) -> None:
    assert words.sparkline(values) == bars


def reading(quality: str, stale: bool) -> TagReading:
    return TagReading("press-1/run", True, "", quality, 0, stale, 1, 1)


def test_verdict() -> None:
    assert words.verdict(reading("good", False)) == "good"
    assert words.verdict(reading("good", True)) == "stale"
    assert words.verdict(reading("bad", True)) == "bad"


def test_counted() -> None:
    assert [words.counted(n, "segments") for n in (0, 1, 2000)] == ["0 segments", "1 segment", "2,000 segments"]


def test_date() -> None:
    assert (words.date(1_700_000_000 * SECOND), words.date(0)) == ("2023-11-14 22:13:20", "–")
