"""NATS subjects from templates such as `edgeward.{site}.{device}`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_UNFIT = re.compile(r"[\s.*>\x00-\x1f\x7f]")
_MAX_TOKEN = 128


def subject_of(template: str, parts: Mapping[str, str]) -> str:
    """A template with its parts in place, each of them one token of a subject."""
    return _PLACEHOLDER.sub(lambda match: _UNFIT.sub("_", parts[match[1]][:_MAX_TOKEN]) or "_", template)


def patterns(templates: Iterable[str]) -> list[str]:
    """The subjects of a stream that takes whatever these templates give; a stream refuses two that overlap."""
    split = [template.split(".") for template in templates]
    found = list(dict.fromkeys(".".join("*" if "{" in word else word for word in words) for words in split))
    return [one for one in found if not any(other != one and covers(other, one) for other in found)]


def covers(wide: str, narrow: str) -> bool:
    """Whether every subject of the one pattern is one of the other; words and `*` only."""
    pairs = list(zip_longest(wide.split("."), narrow.split(".")))
    return all(one == other or (one == "*" and other is not None) for one, other in pairs)


def check(subject: str, names: Sequence[str]) -> str:
    """The template again. Raises ValueError where it has other placeholders than these, or gives no subject."""
    if unknown := set(_PLACEHOLDER.findall(subject)) - set(names):
        raise ValueError(f"unknown {{{min(unknown)}}}: there is {', '.join(f'{{{name}}}' for name in names)}")
    tokens = _PLACEHOLDER.sub("x", subject).split(".")
    if subject.startswith("$") or not all(tokens) or any(_UNFIT.search(token) or "{" in token for token in tokens):
        raise ValueError("a subject is words between dots, with no space, * or >, and does not start with $")
    return subject
