"""From text to a tree, by precedence: every operator has a strength, and takes what binds more strongly than itself.

weak  or | and | not | < <= > >= == != between | + - | * / | sign  strong
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Final

from rules.expression.token import Mark, Token, quote, tokens
from rules.expression.tree import (
    MOST_DEPTH,
    MOST_NODES,
    Expression,
    ExpressionError,
    Node,
    Number,
    Operation,
    TagName,
    Text,
    Truth,
)

COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")
FUNCTIONS: Final = {"abs": (1, 1), "round": (1, 1), "min": (2, 16), "max": (2, 16), "clamp": (3, 3)}
"""How many values each takes, at least and at most."""

_STRENGTHS: Final = {"or": 1, "and": 2, "+": 5, "-": 5, "*": 6, "/": 6, "between": 4} | dict.fromkeys(COMPARISONS, 4)
_NOT, _COMPARE, _SIGN = 3, 4, 7
_WORDS: Final = ("and", "or", "not", "between", "true", "false", *FUNCTIONS)
_LONGEST_NUMBER = 64
_LONGEST_GUESS = 64


def parse(text: str) -> Expression:
    """Raises ExpressionError."""
    parser = _Parser(text)
    tree = parser.whole()
    return Expression(text, tree, parser.nodes)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0
        self.nodes = 0

    def whole(self) -> Node:
        if self._peek().mark is Mark.END:
            raise ExpressionError("the expression is empty", 0, "such as press-1/oil.pressure < 2.5")
        tree = self._expression(0)
        if self._peek().mark is not Mark.END:
            raise self._unexpected(self._peek(), "an operator")
        return tree

    # Operators

    def _expression(self, strength: int) -> Node:
        """As much as binds more strongly than `strength`."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ExpressionError(f"nested deeper than {MOST_DEPTH} levels", self._peek().at, "make two rules of it")
        left = self._operand()
        while (bond := self._bond()) > strength:
            left = self._joined(left, self._take(), bond)
        self._depth -= 1
        return left

    def _bond(self) -> int:
        """How strongly the next token binds what stands on both sides of it; 0 if it does not."""
        token = self._peek()
        return _STRENGTHS.get(token.text, 0) if token.mark in (Mark.SIGN, Mark.WORD) else 0

    def _joined(self, left: Node, operator: Token, bond: int) -> Node:
        if operator.text == "between":
            return self._between(left, operator)
        right = self._expression(bond)
        if bond == _COMPARE:
            self._end_comparison()
        return self._made(Operation(operator.text, (left, right), operator.at))

    def _between(self, value: Node, operator: Token) -> Node:
        """`x between low and high`: this `and` belongs to it, so the ends bind more strongly than a comparison."""
        low = self._expression(_COMPARE)
        self._expect("and", "between takes two values: x between 1 and 5")
        high = self._expression(_COMPARE)
        self._end_comparison()
        return self._made(Operation("between", (value, low, high), operator.at))

    def _end_comparison(self) -> None:
        if self._bond() == _COMPARE:
            hint = "join two comparisons with and; or write x between 1 and 5"
            raise ExpressionError("comparisons cannot be chained", self._peek().at, hint)

    # Operands

    def _operand(self) -> Node:
        token = self._take()
        match token.mark:
            case Mark.NUMBER:
                return self._number(token, 1)
            case Mark.TEXT:
                return self._made(Text(token.text, token.at))
            case Mark.TAG:
                return self._made(TagName(token.text, token.at))
            case Mark.WORD:
                return self._worded(token)
            case Mark.SIGN if token.text == "-":
                return self._signed(token)
            case Mark.SIGN if token.text == "(":
                inner = self._expression(0)
                self._expect(")", f"the bracket at character {token.at + 1} is not closed")
                return inner
            case _:
                raise self._unexpected(token, "a value")

    def _number(self, token: Token, sign: int) -> Node:
        """A number and, where one follows, its unit: a word, or a text for one with unusual signs. `m/s` looks like a
        tag, which cannot stand here."""
        if len(token.text) > _LONGEST_NUMBER:
            raise ExpressionError(f"a number of {len(token.text)} characters is too long", token.at)
        value = int(token.text) if token.text.isdecimal() else float(token.text)
        if not value < math.inf:
            raise ExpressionError(f"the number {quote(token.text)} is too large", token.at)
        follower = self._peek()
        is_unit = follower.mark in (Mark.UNIT, Mark.TEXT, Mark.TAG)
        is_unit = is_unit or (follower.mark is Mark.WORD and follower.text not in ("and", "or", "not", "between"))
        return self._made(Number(sign * value, self._take().text if is_unit else "", token.at))

    def _signed(self, sign: Token) -> Node:
        """A sign before a number is part of it."""
        if self._peek().mark is Mark.NUMBER:
            return self._number(self._take(), -1)
        return self._made(Operation("-", (self._expression(_SIGN),), sign.at))

    def _worded(self, token: Token) -> Node:
        if token.text in ("true", "false"):
            return self._made(Truth(token.text == "true", token.at))
        if token.text == "not":
            return self._made(Operation("not", (self._expression(_NOT - 1),), token.at))
        if token.text in FUNCTIONS:
            return self._called(token)
        if token.text in _STRENGTHS:
            raise self._unexpected(token, "a value")
        raise ExpressionError(f"unknown word {quote(token.text)}", token.at, _guess(token.text))

    def _called(self, name: Token) -> Node:
        least, most = FUNCTIONS[name.text]
        self._expect("(", f"the values of {name.text} stand in brackets")
        arguments = [self._expression(0)]
        while self._peek().text == "," and self._peek().mark is Mark.SIGN:
            self._take()
            arguments.append(self._expression(0))
        self._expect(")", f"the bracket of {name.text} is not closed")
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ExpressionError(f"{name.text} takes {wanted} values, not {len(arguments)}", name.at)
        return self._made(Operation(name.text, tuple(arguments), name.at))

    # Steps

    def _made(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ExpressionError(f"more than {MOST_NODES} values and operators", node.at, "make two rules of it")
        return node

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.mark is not Mark.END
        return token

    def _expect(self, text: str, hint: str) -> None:
        token = self._peek()
        if token.text != text or token.mark not in (Mark.SIGN, Mark.WORD):
            raise self._unexpected(token, quote(text), hint)
        self._take()

    def _unexpected(self, token: Token, wanted: str, hint: str = "") -> ExpressionError:
        if not hint and token.mark is Mark.WORD and token.text not in _WORDS:
            hint = _guess(token.text)
        return ExpressionError(f"expected {wanted}, found {token.shown}", token.at, hint)


def _guess(word: str) -> str:
    """What somebody who wrote an unknown word may have meant."""
    if len(word) <= _LONGEST_GUESS and (close := get_close_matches(word.lower(), _WORDS, n=1)):
        return f"did you mean {quote(close[0])}?"
    if "/" in word:
        return "a tag is device/tag; a division stands between spaces"
    if "-" in word:
        return "a minus stands between spaces"
    return "a tag is device/tag; a text stands in double quotes"
