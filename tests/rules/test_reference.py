"""The vectors and the delays against slow, plain references, on whatever data there may be."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Scan, Tag, TagGroup, Value, ValueType, quality
from rules.conditions.limit import Condition, Settings
from tests.rules.plant import SECOND, Bench, group, rule, scan

NUMERIC = [type_ for type_ in ValueType if type_ not in (ValueType.BOOL, ValueType.STRING)]


def written(type_: ValueType, limit: float, deadband: float = 0) -> Fraction:
    """A limit as the tag's type understands it: exact for whole numbers, else the nearest value."""
    moved = Fraction(str(limit)) + Fraction(str(deadband))
    return Fraction(float(np.array(float(moved)).astype(type_.value))) if type_.is_float else moved


class Reference:
    """One limit, one value at a time, in rational numbers: slow and plain."""

    def __init__(self, type_: ValueType, settings: Settings) -> None:
        self.type = type_
        self.settings = settings
        self.holds = False

    def judge(self, value: float, status: int, present: bool) -> bool:
        """Whether this value changed it."""
        if not present or quality(status) != 0 or math.isnan(value):
            return False
        before, self.holds = self.holds, self.outside(value, self.settings.deadband if self.holds else 0)
        return self.holds != before

    def outside(self, value: float, deadband: float) -> bool:
        if math.isinf(value):
            return (value > 0 and self.settings.high is not None) or (value < 0 and self.settings.low is not None)
        high, low = self.settings.high, self.settings.low
        above = high is not None and Fraction(value) > written(self.type, high, -deadband)
        return above or (low is not None and Fraction(value) < written(self.type, low, deadband))


@st.composite
def limits(draw: st.DrawFn, tag: Tag) -> Settings:
    """Settings that suit the tag, with limits near the values of `rows`."""
    number = st.integers(-6, 6) | st.sampled_from([0.1, 2.5, -0.3, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) + 1, 1e30])
    low, high = sorted(draw(st.lists(number, min_size=2, max_size=2, unique=True)))
    choice = draw(st.sampled_from([{"low": low}, {"high": high}, {"low": low, "high": high}]))
    settings = Settings.model_validate(
        {"tag": tag.id, "deadband": draw(st.sampled_from([0, 1, 0.1, 2, 0.5])), **choice}
    )
    return settings if settings.problem({tag.id: tag}) is None else Settings(tag=tag.id, high=3, deadband=1)


@st.composite
def scans(draw: st.DrawFn, group: TagGroup) -> Scan:
    """Any bit pattern in any plane, any status, any subset."""
    width = len(group.columns)
    near = {span.type: st.integers(-7 if span.type.dtype.kind != "u" else 0, 7) for span in group.spans}
    planes = []
    for span in group.spans:
        size = span.stop - span.start
        bits = draw(st.binary(min_size=size * span.type.dtype.itemsize, max_size=size * span.type.dtype.itemsize))
        wild = np.frombuffer(bits, span.type.dtype)
        tame = np.array(draw(st.lists(near[span.type], min_size=size, max_size=size)), span.type.dtype)
        planes.append(np.where(draw(st.lists(st.booleans(), min_size=size, max_size=size)), wild, tame))
    codes = st.lists(
        st.sampled_from([0, 0, 0x2D0000, 0x4000_0000, 0x8031_0000, 0xC000_0000]), min_size=width, max_size=width
    )
    status = draw(st.none() | codes.map(lambda each: np.array(each, np.uint32)))
    masks = st.lists(st.booleans(), min_size=width, max_size=width)
    columns = draw(st.none() | masks.map(lambda each: np.array(each, np.bool_)))
    return Scan(group, 0, 0, tuple(planes), status, columns)


WIDE = TagGroup("pump", "fast", TagGroup.sort([Tag(f"pump/{t}.{i}", t) for t in NUMERIC for i in "ab"]), None, 1)


@given(st.data())
def test_agrees_with_one_value_at_a_time(data: st.DataObject) -> None:
    tags = data.draw(st.lists(st.sampled_from(WIDE.columns), min_size=1, max_size=12))
    entries = [(key, data.draw(limits(tag))) for key, tag in enumerate(tags)]
    condition = Condition(WIDE, entries)
    references = [Reference(tag.type, settings) for tag, (_, settings) in zip(tags, entries, strict=True)]
    for row in data.draw(st.lists(scans(WIDE), max_size=4)):
        expected = set()
        for key, (tag, reference) in enumerate(zip(tags, references, strict=True)):
            column = WIDE.index[tag.id]
            plane, span = next((i, s) for i, s in enumerate(WIDE.spans) if s.start <= column < s.stop)
            status = 0 if row.status is None else int(row.status[column])
            present = row.columns is None or bool(row.columns[column])
            if reference.judge(row.values[plane][column - span.start].item(), status, present):
                expected.add((key, reference.holds))
        found = condition.judge(row)
        assert len(found) == len(set(found))
        assert set(found) == expected
        condition.doubtful(row)


class Waiting:
    """One rule "above 10, deadband 2" with an on-delay, one value at a time."""

    def __init__(self, delay: int) -> None:
        self.delay = delay
        self.since: int | None = None
        self.active = False

    def judge(self, value: float, good: bool, monotonic: int) -> None:
        """A value that is there."""
        if not good or math.isnan(value):
            self.since = self.since if self.active else None
        elif value <= (10 if self.since is None else 8):
            self.since, self.active = None, False
        else:
            self.since = monotonic if self.since is None else self.since
            self.active = self.active or monotonic >= self.since + self.delay

    def tick(self, usable: bool, monotonic: int) -> None:
        if not self.active and self.since is not None and monotonic >= self.since + self.delay:
            self.active = usable
            self.since = self.since if usable else None


MIXED = group(a="uint8", b="int64", c="uint64", d="float32", e="float64", f="string", g="bool")
DELAYS = {f"{name}.{delay}": delay * SECOND for name in "abcde" for delay in (0, 3)}
RULES = [
    rule(name, {"tag": f"pump/{name[0]}", "high": 10, "deadband": 2}, on_delay=f"{delay // SECOND}s")
    for name, delay in DELAYS.items()
]

WHOLE = st.sampled_from([0, 9, 11, 200])
REAL = st.sampled_from([0.0, 9.0, 11.0, math.nan, math.inf, -math.inf])
VALUES = st.fixed_dictionaries({**dict.fromkeys("abc", WHOLE), **dict.fromkeys("de", REAL)})
BAD = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from([0x4000_0000, 0x8000_0000, 0xC000_0000]))
STEP = st.tuples(st.integers(0, 4), VALUES, st.sets(st.sampled_from("abcde")), BAD, st.booleans())


@given(st.lists(STEP, max_size=10))
def test_the_engine_agrees_with_one_rule_at_a_time(
    steps: list[tuple[int, dict[str, Value], set[str], dict[str, int], bool]],
) -> None:
    bench = Bench(*RULES, groups=(MIXED,))
    waiting = {name: Waiting(delay) for name, delay in DELAYS.items()}
    for pause, values, missing, bad, usable in steps:
        bench.wait(pause)
        now = bench.clock.monotonic()
        there = {name: value for name, value in values.items() if name not in missing}
        bench.scan(scan(MIXED, bad, **there, f="x", g=True))
        for name, each in waiting.items():
            if name[0] in there:
                each.judge(float(there[name[0]]), name[0] not in bad, now)
        assert active(bench) == {name for name, each in waiting.items() if each.active}
        bench.tick(usable)
        for each in waiting.values():
            each.tick(usable, now)
        assert active(bench) == {name for name, each in waiting.items() if each.active}
        due = bench.engine.next_due()
        assert due is None or due > now


def active(bench: Bench) -> set[str]:
    return {status.alarm for status in bench.engine.alarms() if status.active}
