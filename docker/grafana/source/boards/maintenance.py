"""What wears: slow trends, daily extremes, running hours."""

from __future__ import annotations

from board import Board
from choice import ANY_GROUP, CELL, DEVICES, Pattern
from panel import FULL, HALF, bars, lines
from query import matching
from series import Runtime, Trend

MEAN = ("^(.*) mean_(.*)$", "$1 $2")
EXTREMES = ("^(.*) (min|max)_(.*)$", "$1 $3 $2")

BOARD = Board(
    name="maintenance",
    title="Maintenance",
    description="Slow trends of what wears, its extremes of each day, and running hours.",
    span="now-30d",
    refresh="15m",
    choices=(
        CELL,
        DEVICES,
        ANY_GROUP,
        Pattern("temperature", "Temperatures", "temperature"),
        Pattern("vibration", "Vibrations", "vibration"),
        Pattern("running", "Running tag", "running"),
    ),
    panels=(
        lines(
            "Temperatures",
            "Means of each interval. A bearing that runs warmer from week to week under the same load wants grease "
            "or replacing. The pattern above says which tags are meant.",
            Trend(matching("temperature")),
        )
        .sized(FULL, 10)
        .renamed(*MEAN),
        lines(
            "Vibrations",
            "Means of each interval. ISO 20816 judges the velocity, RMS, by zones that depend on the machine: take "
            "the limits from its class, and watch for a change against its own past.",
            Trend(matching("vibration")),
        )
        .sized(FULL, 10)
        .renamed(*MEAN),
        lines(
            "Temperatures: lowest and highest of each day",
            "Days are UTC. Extremes that drift apart are worth a look even where the mean stays.",
            Trend(matching("temperature"), ("min", "max"), every="1d", fill="none"),
        )
        .sized(HALF, 10)
        .renamed(*EXTREMES),
        lines(
            "Vibrations: lowest and highest of each day",
            "Days are UTC.",
            Trend(matching("vibration"), ("min", "max"), every="1d", fill="none"),
        )
        .sized(HALF, 10)
        .renamed(*EXTREMES),
        bars(
            "Running hours of each day",
            "From the boolean tag named above, to five minutes. Days are UTC; the legend has the sum. An hour that "
            "nobody recorded does not count.",
            Runtime(),
            {},
            unit="suffix:h",
        ).sized(FULL, 8),
    ),
)
