"""Whatever somebody writes: an expression, or an error that says where; and no more steps than its length allows."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import pytest

from gateway.model import Tag, ValueType
from rules.conditions.when import Settings
from rules.expression import ExpressionError, build, parse, settle
from rules.expression.tree import MOST_CHARACTERS, MOST_NODES, walk
from tests.rules.expression.hostile import HOSTILE

TAGS: Final = {
    "a/x": Tag("a/x", ValueType.FLOAT64),
    "a/n": Tag("a/n", ValueType.UINT64, unit="ms"),
    "a/on": Tag("a/on", ValueType.BOOL),
    "a/mode": Tag("a/mode", ValueType.STRING),
}
SLOTS: Final = {id_: slot for slot, id_ in enumerate(TAGS)}

FUZZED: Final = 1_000_000 if os.environ.get("SOAK") else 10_000


def steps(call: Callable[[], object]) -> int:
    """The calls of Python functions, and of C functions by these, that something takes: a measure of its cost that does
    not depend on the machine."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count


def flaw(text: str) -> str:
    """What is wrong with a text, as a rule is loaded."""
    try:
        expression = parse(text)
        if unknown := [id_ for id_ in expression.mentions() if id_ not in TAGS]:
            return f"unknown tag {unknown[0]}"
        settle(expression.tree, TAGS)
    except ExpressionError as error:
        return told(error, text)
    return next((found.message for found in Settings.model_validate({"when": text}).flaws(TAGS)), "")


def told(error: ExpressionError, text: str) -> str:
    assert 0 <= error.at <= min(len(text), MOST_CHARACTERS)
    assert 0 < len(str(error)) < 200, "a message fits on a line"
    assert len(error.hint) < 200
    return str(error)


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTILE)) >= 200


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_expression_is_refused_within_few_steps(text: str) -> None:
    found = ""

    def load() -> None:
        nonlocal found
        found = flaw(text)

    assert steps(load) <= 2_000 + 60 * min(len(text), MOST_CHARACTERS)
    assert found


LARGEST: Final = [
    "a/on and " * 127 + "a/on",
    "a/x * " * 126 + "a/x > 1",
    "(" * 31 + "a/on" + ")" * 31,
    "-" * 30 + "a/x > 1",
    "a/x - -" * 80 + "a/x > 1",
    "round(a/n) * " * 80 + "a/n > 1",
    "1e300 * " * 100 + "a/x > 1",
]


@pytest.mark.parametrize("text", LARGEST, ids=range(len(LARGEST)))
def test_the_largest_take_no_more_steps_than_they_cost(text: str) -> None:
    expression = parse(text)
    assert expression.cost == len(list(walk(expression.tree))) <= MOST_NODES
    evaluate = build(settle(expression.tree, TAGS)[0], SLOTS)
    # A node is one call of its closure, and no more than eight of what that needs: operators, bounds, lists.
    for row in ([1.5, 2**64 - 1, True, "auto"], [math.pi, 0, False, ""], [None] * 4):
        assert steps(lambda row=row: evaluate(row)) <= 10 * expression.cost + 10


PIECES: Final = [
    *[*TAGS, "'a/x'", "b/y", "1", "0", "2.5", "1e300", "18446744073709551616", "5 ms", "3 min", "0.1 s", "9 bar"],
    *['"auto"', '""', "true", "false", "and", "or", "not", "between", "abs(", "min(", "max(", "round(", "clamp("],
    *["<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "(", ")", ",", "=", ".", "_", "é", "\n"],
    *["a/x > 1", "a/on", "(a/n < 5 s)"],
]
ROWS: Final = [
    [0.0, 0, True, "auto"],
    [1e308, 2**64 - 1, False, ""],
    [-5e-324, 1, True, "x"],
    [None, 3, None, None],
    [None, None, None, None],
]


def truth(dice: random.Random, depth: int = 0) -> list[str]:
    """The pieces of an expression that is one, mostly."""
    match dice.randrange(3 if depth > 3 else 8):
        case 0:
            return [dice.choice(["a/on", "true", "'a/on'"])]
        case 1:
            return ["a/mode", dice.choice(["==", "!="]), '"auto"']
        case 2 | 3:
            return [*number(dice, depth), dice.choice(["<", "<=", ">", ">=", "==", "!="]), *number(dice, depth)]
        case 4:
            return [*number(dice, depth), "between", *number(dice, depth), "and", *number(dice, depth)]
        case 5:
            return ["not", *truth(dice, depth + 1)]
        case 6:
            return ["(", *truth(dice, depth + 1), ")"]
    return [*truth(dice, depth + 1), dice.choice(["and", "or"]), *truth(dice, depth + 1)]


def number(dice: random.Random, depth: int) -> list[str]:
    match dice.randrange(4 if depth > 3 else 7):
        case 0 | 1:
            return [dice.choice(["a/x", "a/n"])]
        case 2:
            return [dice.choice(["0", "1", "2.5", "1e300", "18446744073709551616", "5 ms", "3 min", "0.1 s"])]
        case 3:
            return ["-", *number(dice, depth + 1)]
        case 4:
            name, most = dice.choice([("abs(", 1), ("round(", 1), ("min(", 2), ("max(", 2), ("clamp(", 3)])
            rest = [piece for _ in range(most - 1) for piece in (",", *number(dice, depth + 1))]
            return [name, *number(dice, depth + 1), *rest, ")"]
    return ["(", *number(dice, depth + 1), dice.choice("+-*/"), *number(dice, depth + 1), ")"]


def spoilt(dice: random.Random, pieces: list[str]) -> str:
    """With a piece or a character too many, too few, or another one."""
    at = dice.randrange(len(pieces))
    pieces = [*pieces[:at], *dice.choices(PIECES, k=dice.randint(0, 2)), *pieces[at + dice.randint(0, 1) :]]
    text = dice.choice(["", " ", " ", " "]).join(pieces)
    at = dice.randrange(len(text) + 1)
    spot = chr(dice.randrange(1, 0x250)) if dice.random() < 0.3 else ""
    return text[:at] + spot + text[at + len(spot) :]


def test_fuzzed_expressions_are_refused_or_run() -> None:
    dice = random.Random(20_261_129)
    ran = 0
    for _ in range(FUZZED):
        pieces = truth(dice)
        text = spoilt(dice, pieces) if dice.random() < 0.7 else " ".join(pieces)
        if flaw(text):
            continue
        ran += 1
        evaluate = build(settle(parse(text).tree, TAGS)[0], SLOTS)
        for row in ROWS:
            assert evaluate(row) in (True, False, None), text
    assert FUZZED // 5 < ran < FUZZED // 5 * 4, "some of it runs, and some does not"
