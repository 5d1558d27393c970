"""The keys of a journal: made once, rotated without a gap, and a way back when all of them are lost."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.journal.keys import KeyRing, SealBroken, generate, load, recover, recovery_pair, save

DATA_KEY = b"d" * 32


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.key"
    ring = load(path)
    assert load(path) == ring
    assert len(ring.current) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31, "ab" * 33])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        load(tmp_path / "journal.key", [text])
    (tmp_path / "journal.key").write_text(text)
    with pytest.raises(ConfigError, match="key"):
        load(tmp_path / "journal.key")


def test_the_key_of_a_journal_is_never_made_anew(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="put it back"):
        load(tmp_path / "journal.key", fresh=False)
    assert not (tmp_path / "journal.key").exists()


def test_a_rotated_ring_opens_what_was_wrapped_before_and_its_file_says_so(tmp_path: Path) -> None:
    old = load(tmp_path / "journal.key")
    wrapped = old.wrap(DATA_KEY)
    ring = old.rotated(generate())
    assert ring.unwrap(wrapped) == DATA_KEY
    assert not ring.is_current(wrapped)
    save(ring)
    assert load(tmp_path / "journal.key") == ring
    anew = ring.wrap(ring.unwrap(wrapped))
    save(ring.settled())
    settled = load(tmp_path / "journal.key")
    assert settled.unwrap(anew) == DATA_KEY
    with pytest.raises(SealBroken):
        settled.unwrap(wrapped)


def test_the_recovery_key_opens_what_its_public_half_wrapped() -> None:
    private, public = recovery_pair()
    wrapped = KeyRing(generate(), recovery=bytes.fromhex(public)).wrap_for_recovery(DATA_KEY)
    assert wrapped is not None
    assert recover(bytes.fromhex(private), wrapped) == DATA_KEY
    other, _ = recovery_pair()
    for broken in (wrapped[:-1], wrapped[1:], b"", wrapped[:32] + bytes(40)):
        with pytest.raises(SealBroken):
            recover(bytes.fromhex(private), broken)
    with pytest.raises(SealBroken):
        recover(bytes.fromhex(other), wrapped)
    assert KeyRing(generate()).wrap_for_recovery(DATA_KEY) is None


def test_keys_are_not_shown() -> None:
    ring = KeyRing(b"k" * 32)
    assert "kkkk" not in repr(ring)
    assert (b"k" * 32).hex() not in repr(ring)
