"""Numbers as people write them, held against what a tag can hold."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from gateway.model import Tag


def _plain(value: object) -> object:
    """One message instead of one a type, and no conversion: a whole number stays one, however large."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise ValueError("write a number, such as 80 or 80.5")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("write 0 or more")
    return value


Number: TypeAlias = Annotated[int | float, BeforeValidator(_plain), WithJsonSchema({"type": "number"})]
"""A finite number; as an integer where it is written as one."""

Size: TypeAlias = Annotated[Number, AfterValidator(_not_negative), WithJsonSchema({"type": "number", "minimum": 0})]
"""A number that is not negative."""


def exact(number: float) -> Fraction:
    """What was written, not what a float makes of it: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(str(number))


def reach(tag: Tag) -> tuple[Fraction, Fraction]:
    """The lowest and the highest finite value that a numeric tag can have: what its type and its range both allow."""
    if tag.type.is_float:
        top = Fraction(float(np.finfo(tag.type.value).max))
        bottom = -top
    else:
        bottom, top = (Fraction(int(end)) for end in (np.iinfo(tag.type.value).min, np.iinfo(tag.type.value).max))
    low, high = tag.range or (-math.inf, math.inf)
    return (max(bottom, exact(low)) if low > -math.inf else bottom), (min(top, exact(high)) if high < math.inf else top)
