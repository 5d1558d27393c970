from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.journal.seal import Seal, SealBroken, load_key

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
    wrapped = seal.wrap(b"k" * 32)
    assert Seal.unwrap(b"k" * 32, wrapped).open(seal.close(b"x", b""), b"") == b"x"
    with pytest.raises(SealBroken):
        Seal.unwrap(b"j" * 32, wrapped)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.key"
    key = load_key(path)
    assert load_key(path) == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31, "ab" * 33])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        load_key(tmp_path / "journal.key", text)
