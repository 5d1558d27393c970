"""The language against a slow reference that shares nothing with it: it has trees of its own, writes them as text, and
evaluates them with fractions, and logic with the set of all that may be true."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Tag, Value, ValueType
from rules.expression import build, parse, settle

TYPES = {
    "a/int": ValueType.INT64,
    "a/uint": ValueType.UINT64,
    "b-1/float.x": ValueType.FLOAT64,
    "b-1/narrow": ValueType.FLOAT32,
    "a/run": ValueType.BOOL,
    "9/on": ValueType.BOOL,
    "a/mode": ValueType.STRING,
    "b-1/state-": ValueType.STRING,
}
TAGS = {id_: Tag(id_, type_) for id_, type_ in TYPES.items()}
NUMBERS, TRUTHS, TEXTS = list(TYPES)[:4], list(TYPES)[4:6], list(TYPES)[6:]
SLOTS = {id_: slot for slot, id_ in enumerate(TYPES)}


@dataclass(frozen=True)
class Leaf:
    text: str
    value: Value | None = None
    tag: str = ""


@dataclass(frozen=True)
class Branch:
    name: str
    parts: tuple[Any, ...]


# Making

LEVELS = {"or": 1, "and": 2, "not": 3, "between": 4, "+": 5, "-": 5, "*": 6, "/": 6, "neg": 7}
LEVELS |= dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 4)

literals = st.one_of(
    st.integers(0, 2**64),
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, 2, 0.5, 0.1, 2**53 + 1, 16777217, 1e300, 1e39]),
)
number_leaves = st.one_of(
    literals.map(lambda value: Leaf(repr(value), value)), st.sampled_from(NUMBERS).map(lambda tag: Leaf(tag, tag=tag))
)
text_leaves = st.one_of(
    st.sampled_from(["auto", "", "a and b", "5"]).map(lambda text: Leaf(f'"{text}"', text)),
    st.sampled_from(TEXTS).map(lambda tag: Leaf(f"'{tag}'", tag=tag)),
)
truth_leaves = st.one_of(
    st.booleans().map(lambda value: Leaf(str(value).lower(), value)),
    st.sampled_from(TRUTHS).map(lambda tag: Leaf(tag, tag=tag)),
)


def branches(names: list[str], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Branch]:
    return st.builds(Branch, st.sampled_from(names), st.tuples(*parts))


numbers = st.recursive(
    number_leaves,
    lambda inner: st.one_of(
        branches(["+", "-", "*", "/", "min", "max"], inner, inner),
        branches(["neg", "abs", "round"], inner),
        branches(["clamp"], inner, inner, inner),
        branches(["max", "min"], inner, inner, inner),
    ),
    max_leaves=6,
)
compared = st.one_of(
    branches(["<", "<=", ">", ">=", "==", "!="], numbers, numbers),
    branches(["between"], numbers, numbers, numbers),
    branches(["==", "!="], text_leaves, text_leaves),
)
truths = st.recursive(
    st.one_of(truth_leaves, compared),
    lambda inner: st.one_of(branches(["and", "or", "==", "!="], inner, inner), branches(["not"], inner)),
    max_leaves=8,
)


def written(node: Any, data: st.DataObject, level: int = 0) -> str:
    """The tree as text, with no more brackets than it needs, and now and then with more."""
    gap = data.draw(st.sampled_from([" ", "  ", "\n", "\t "]))
    if isinstance(node, Leaf):
        return node.text
    parts, own = node.parts, LEVELS.get(node.name, 9)
    match node.name:
        case "neg" | "not":
            text = f"{'-' if node.name == 'neg' else 'not'}{gap}{written(parts[0], data, own)}"
        case "between":
            low, middle, high = (written(part, data, own + 1) for part in (parts[1], parts[0], parts[2]))
            text = f"{middle} between{gap}{low} and {high}"
        case "min" | "max" | "abs" | "round" | "clamp":
            text = f"{node.name}({', '.join(written(part, data) for part in parts)})"
        case _:
            is_comparison = own == 4
            left, right = written(parts[0], data, own + is_comparison), written(parts[1], data, own + 1)
            text = f"{left}{gap}{node.name}{gap}{right}"
    return f"({text})" if own < level or data.draw(st.integers(0, 9)) == 0 else text


# Evaluating

Number = int | float | None
BOTH = frozenset((True, False))


def number(node: Any, values: dict[str, Value | None]) -> Number:
    if isinstance(node, Leaf):
        return values[node.tag] if node.tag else node.value  # type: ignore[return-value]
    parts = [number(part, values) for part in node.parts]
    return None if None in parts else calculated(node.name, parts)


def calculated(name: str, parts: list[Any]) -> Number:
    exact = [Fraction(part) for part in parts]
    match name:
        case "neg":
            return bounded(-parts[0])
        case "abs":
            return bounded(parts[0] if exact[0] >= 0 else -parts[0])
        case "round":
            floor = math.floor(exact[0])
            rest = exact[0] - floor
            up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1)
            return bounded(floor + up)
        case "min" | "max":
            return parts[exact.index(min(exact) if name == "min" else max(exact))]  # type: ignore[no-any-return]
        case "clamp":
            if exact[1] > exact[2]:
                return None
            return parts[1] if exact[0] < exact[1] else parts[2] if exact[0] > exact[2] else parts[0]  # type: ignore[no-any-return]
    return arithmetic(name, parts)


def arithmetic(name: str, parts: list[Any]) -> Number:
    whole = all(isinstance(part, int) for part in parts)
    try:
        left, right = (Fraction(part if whole else float(part)) for part in parts)
        match name:
            case "+":
                result = left + right
            case "-":
                result = left - right
            case "*":
                result = left * right
            case _:
                result = left / right
        return bounded(int(result) if whole and name != "/" else float(result))
    except (ZeroDivisionError, OverflowError):
        return None


def bounded(value: int | float) -> Number:
    return value if abs(Fraction(value)) < 2**1024 else None


def possible(node: Any, values: dict[str, Value | None]) -> frozenset[bool]:
    """All that may be true of it."""
    if isinstance(node, Leaf):
        value = values[node.tag] if node.tag else node.value
        return BOTH if value is None else frozenset({bool(value)})
    if node.name in ("and", "or", "not"):
        parts = [possible(part, values) for part in node.parts]
        judge = {"and": all, "or": any, "not": lambda each: not each[0]}[node.name]
        return frozenset(bool(judge(each)) for each in itertools.product(*parts))
    if sort(node.parts[0]) == "truth":
        left, right = (possible(part, values) for part in node.parts)
        if len(left) + len(right) > 2:
            return BOTH
        return frozenset({(left == right) == (node.name == "==")})
    if sort(node.parts[0]) == "text":
        left, right = ((values[part.tag] if part.tag else part.value) for part in node.parts)
        return BOTH if left is None or right is None else frozenset({(left == right) == (node.name == "==")})
    return compare(node, operands(node, values))


def sort(node: Any) -> str:
    if isinstance(node, Branch):
        return "truth" if LEVELS.get(node.name, 9) <= 4 else "number"
    tag = node.tag
    if tag:
        return "number" if tag in NUMBERS else "truth" if tag in TRUTHS else "text"
    return {bool: "truth", str: "text"}.get(type(node.value), "number")


def operands(node: Branch, values: dict[str, Value | None]) -> list[Number]:
    """Beside nothing but float32 tags, a literal is a float32; its sign belongs to it."""
    others = [part for part in node.parts if literal(part) is None]
    if others and all(isinstance(part, Leaf) and part.tag == "b-1/narrow" for part in others):
        return [number(part, values) if literal(part) is None else float32(literal(part) or 0) for part in node.parts]
    return [number(part, values) for part in node.parts]


def literal(part: Any) -> int | float | None:
    if isinstance(part, Leaf):
        return None if part.tag else part.value  # type: ignore[return-value]
    if part.name == "neg" and isinstance(part.parts[0], Leaf) and not part.parts[0].tag:
        return -part.parts[0].value
    return None


def float32(value: int | float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def compare(node: Branch, parts: list[Number]) -> frozenset[bool]:
    if node.name == "between":
        lower = compare(Branch("<=", ()), [parts[1], parts[0]])
        upper = compare(Branch("<=", ()), [parts[0], parts[2]])
        return frozenset(a and b for a, b in itertools.product(lower, upper)) if parts[0] is not None else BOTH
    if None in parts:
        return BOTH
    left, right = (wide(part) for part in parts)  # type: ignore[arg-type]
    order = (left > right) - (left < right)
    expected = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0), "==": (0,), "!=": (-1, 1)}[node.name]
    return frozenset({order in expected})


def wide(value: int | float) -> Fraction:
    """A float32 literal that is out of reach stands as a number beyond all others."""
    return Fraction(value) if abs(value) < math.inf else Fraction(2) ** 2000 * (1 if value > 0 else -1)


def unknown_or(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, st.none())


rows = st.fixed_dictionaries(
    {
        "a/int": unknown_or(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))),
        "a/uint": unknown_or(st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([2**53 + 1, 0]))),
        "b-1/float.x": unknown_or(
            st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.5, 0.1, 2.5]))
        ),
        "b-1/narrow": unknown_or(
            st.one_of(
                st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from([float32(0.1), 16777216.0])
            )
        ),
        "a/run": unknown_or(st.booleans()),
        "9/on": unknown_or(st.booleans()),
        "a/mode": unknown_or(st.sampled_from(["auto", "", "manual"])),
        "b-1/state-": unknown_or(st.sampled_from(["auto", "5"])),
    }
)


@given(truths, rows, st.data())
def test_agrees_with_the_reference(tree: Any, values: dict[str, Value | None], data: st.DataObject) -> None:
    text = written(tree, data)
    expression = parse(text)
    evaluate = build(settle(expression.tree, TAGS)[0], SLOTS)
    may = possible(tree, values)
    expected = None if may == BOTH else True in may
    assert evaluate([values[id_] for id_ in TYPES]) is expected, text


@given(numbers, rows, st.data())
def test_numbers_agree_with_the_reference(tree: Any, values: dict[str, Value | None], data: st.DataObject) -> None:
    evaluate = build(settle(parse(written(tree, data)).tree, TAGS)[0], SLOTS)
    got, expected = evaluate([values[id_] for id_ in TYPES]), number(tree, values)
    assert (type(got), got) == (type(expected), expected)
