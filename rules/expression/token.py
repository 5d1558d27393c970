"""The words and signs of an expression.

A word is as many letters, digits, `_`, `.`, `-` and `/` as stand together. So a tag needs no quotes, and a minus or a
division between two values stands between spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from rules.expression.tree import MOST_CHARACTERS, ExpressionError

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_INSIDE = r"[\w.°%‰/-]"
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+)
    |(?P<number>{_NUMBER})(?!{_INSIDE})
    |(?P<word>[\w°%‰]{_INSIDE}*)
    |"(?P<text>[^"]*)"
    |'(?P<quoted>[^']*)'
    |(?P<sign><=|>=|==|!=|[-+*/()<>,])""",
    re.VERBOSE,
)
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_WITH_UNIT: Final = re.compile(rf"({_NUMBER})([^\W\d_]\w*|[°%‰][\w°%‰]*)")

_FOREIGN: Final = {
    "=": "two values are compared with ==",
    "!": "write not, or != between two values",
    "&": "write and",
    "|": "write or",
    '"': "this text is not closed",
    "'": "this tag is not closed",
    "[": "a list is not needed: x between 1 and 5",
}


class Mark(Enum):
    NUMBER = auto()
    UNIT = auto()
    WORD = auto()
    TAG = auto()
    TEXT = auto()
    SIGN = auto()
    END = auto()


class Token(NamedTuple):
    mark: Mark
    text: str
    at: int

    @property
    def shown(self) -> str:
        """As it may stand in a message."""
        return "the end" if self.mark is Mark.END else quote(self.text)


def quote(text: str) -> str:
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'


def tokens(text: str) -> Iterator[Token]:
    """All of them, and one that marks the end. Raises ExpressionError at what is none."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(
            f"the expression has {len(text)} characters, more than {MOST_CHARACTERS}", 0, "make two rules of it"
        )
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"unexpected {quote(text[at])}", at, _FOREIGN.get(text[at], ""))
        yield from _read(match)
        at = match.end()
    yield Token(Mark.END, "", len(text))


def _read(match: re.Match[str]) -> Iterator[Token]:
    found, at = match[match.lastgroup or 0], match.start()
    match match.lastgroup:
        case "number":
            yield Token(Mark.NUMBER, found, at)
        case "text":
            yield Token(Mark.TEXT, found, at)
        case "sign":
            yield Token(Mark.SIGN, found, at)
        case "quoted":
            yield _quoted(found, at)
        case "word":
            yield from _word(found, at)


def _quoted(found: str, at: int) -> Token:
    if not _TAG.fullmatch(found):
        raise ExpressionError(f"{quote(found)} is no tag", at, "a tag is device/tag; a text stands in double quotes")
    return Token(Mark.TAG, found, at)


def _word(found: str, at: int) -> Iterator[Token]:
    if _TAG.fullmatch(found):
        yield Token(Mark.TAG, found, at)
    elif split := _WITH_UNIT.fullmatch(found):
        yield Token(Mark.NUMBER, split[1], at)
        yield Token(Mark.UNIT, split[2], at + len(split[1]))
    else:
        yield Token(Mark.WORD, found, at)
