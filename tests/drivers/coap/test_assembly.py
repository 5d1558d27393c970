from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.assembly import Assemblies, Gap, TooLarge
from drivers.coap.message import Block


def feed(bodies: Assemblies, key: str, body: bytes, exponent: int) -> bytes | None:
    size = 16 << exponent
    whole: bytes | None = None
    for number in range(max(1, -(-len(body) // size))):
        block = body[number * size : (number + 1) * size]
        whole = bodies.add(key, Block(number, (number + 1) * size < len(body), exponent), block)
    return whole


@given(st.binary(max_size=500), st.integers(0, 6))
def test_a_body_comes_out_as_it_was(body: bytes, exponent: int) -> None:
    bodies = Assemblies(500)
    assert feed(bodies, "a", body, exponent) == body
    assert len(bodies) == 0


def test_two_bodies_side_by_side() -> None:
    bodies = Assemblies(100)
    assert bodies.add("a", Block(0, True, 0), b"a" * 16) is None
    assert bodies.add("b", Block(0, True, 0), b"b" * 16) is None
    assert bodies.add("a", Block(1, False, 0), b"A") == b"a" * 16 + b"A"
    assert bodies.add("b", Block(1, False, 0), b"B") == b"b" * 16 + b"B"


def test_beginning_again() -> None:
    bodies = Assemblies(100)
    bodies.add("a", Block(0, True, 0), b"x" * 16)
    assert feed(bodies, "a", b"y" * 20, 0) == b"y" * 20


@pytest.mark.parametrize("block", [Block(2, False, 0), Block(0, True, 1), Block(0, False, 7), Block(1, True, 0)])
def test_a_block_that_does_not_follow(block: Block) -> None:
    bodies = Assemblies(100)
    bodies.add("a", Block(0, True, 0), b"x" * 16)
    with pytest.raises(Gap):
        bodies.add("a", block, b"y")
    with pytest.raises(Gap):
        bodies.add("a", Block(1, False, 0), b"y")


def test_a_body_that_is_too_large() -> None:
    bodies = Assemblies(20)
    bodies.add("a", Block(0, True, 0), b"x" * 16)
    with pytest.raises(TooLarge):
        bodies.add("a", Block(1, True, 0), b"x" * 16)
    assert len(bodies) == 0


def test_the_one_that_waits_longest_makes_room() -> None:
    bodies = Assemblies(100, most=2)
    for key in "abc":
        bodies.add(key, Block(0, True, 0), b"x" * 16)
    assert len(bodies) == 2
    with pytest.raises(Gap):
        bodies.add("a", Block(1, False, 0), b"y")
    assert bodies.add("b", Block(1, False, 0), b"y") == b"x" * 16 + b"y"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 7), st.binary(max_size=40)))
)
def test_whatever_comes_is_bounded(blocks: list[tuple[int, int, bool, int, bytes]]) -> None:
    bodies = Assemblies(64, most=2)
    for key, number, more, exponent, payload in blocks:
        with contextlib.suppress(Gap, TooLarge):
            whole = bodies.add(key, Block(number, more, exponent), payload)
            assert whole is None or len(whole) <= 64
        assert len(bodies) <= 2
