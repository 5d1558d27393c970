from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.keys import KeyRing, SealBroken
from gateway.journal.seal import Seal

seal = Seal.fresh()


@given(st.binary(max_size=4000), st.binary(max_size=20))
def test_opens_what_it_closed(content: bytes, place: bytes) -> None:
    assert seal.open(seal.close(content, place), place) == content


@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_noticed(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal.close(content, b"1/1/7"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        seal.open(bytes(sealed), b"1/1/7")


def test_a_chunk_in_another_place_does_not_open() -> None:
    with pytest.raises(SealBroken):
        seal.open(seal.close(b"x", b"1/1/7"), b"1/1/8")


def test_equal_content_never_looks_equal() -> None:
    assert seal.close(b"x" * 100, b"") != seal.close(b"x" * 100, b"")


def test_the_data_key_opens_with_its_own_key_only() -> None:
    wrapped = seal.wrap(KeyRing(b"k" * 32))
    assert Seal.unwrap(KeyRing(b"k" * 32), wrapped).open(seal.close(b"x", b""), b"") == b"x"
    with pytest.raises(SealBroken):
        Seal.unwrap(KeyRing(b"j" * 32), wrapped)
