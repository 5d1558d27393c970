"""Where in a file the characters of a text stand that is quoted, folded or a block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.)|$)")
_INVISIBLE: Final = frozenset("abefnrtvNLP_ 0")
"""Escapes that mean space, a line break or a control character."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A scalar of the given `style` (as YAML's own sign: `'`, `"`, `|`, `>`, or empty) that begins in `lines` at `line`
    and `column`, both from 0. Its indentation and line breaks are not those of the text, so only what is visible is
    counted."""

    lines: Sequence[str]
    line: int
    column: int
    style: str

    def find(self, text: str, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of the first visible character at or behind `offset`; at the end of the text, of
        what would follow the last one."""
        before = len("".join(text[:offset].split()))
        is_end = not text[offset:].strip()
        place = (self.line, self.column)
        if is_end and not before:
            return self.line + 1, self.column + 1
        for number, place in enumerate(self._visible()):
            if number == before - is_end:
                return place[0] + 1, place[1] + 1 + is_end
        return place[0] + 1, place[1] + 1

    def _visible(self) -> Iterator[tuple[int, int]]:
        """The place of every visible character."""
        is_block = self.style in ("|", ">")
        column = 0 if is_block else self.column + len(self.style)
        for number in range(self.line + is_block, len(self.lines)):
            yield from ((number, place) for place in self._columns(self.lines[number], column))
            column = 0

    def _columns(self, line: str, column: int) -> Iterator[int]:
        while column < len(line):
            length, is_visible = self._character(line, column)
            if is_visible:
                yield column
            column += length

    def _character(self, line: str, column: int) -> tuple[int, bool]:
        """How many characters of the line make the one of the text that stands there, and whether one can see it."""
        if self.style == "'" and line.startswith("''", column):
            return 2, True
        if self.style == '"' and (escape := _ESCAPE.match(line, column)):
            code = next((group for group in escape.groups()[:3] if group), None)
            return len(escape[0]), not chr(int(code, 16)).isspace() if code else escape[4] not in {None, *_INVISIBLE}
        return 1, not line[column].isspace()
