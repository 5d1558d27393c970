from __future__ import annotations

import numpy as np
import pytest

from gateway.clock import SECOND
from gateway.image import Image
from gateway.model import StatusCode
from tests.gateway.build import NOW, group, scan

of = group("bool", "int64", "float32", "string")


@pytest.fixture
def image() -> Image:
    return Image([of])


def test_every_type_comes_back_as_itself(image: Image) -> None:
    image.update(scan(of, [True, 2**62 + 1, 0.5, "ä"]), 0)
    assert [image.read(f"press/t{i}", 0).value for i in range(4)] == [True, 2**62 + 1, 0.5, "ä"]


def test_a_tag_that_never_was_is_bad_and_stale(image: Image) -> None:
    reading = image.read("press/t0", 0)
    assert (reading.value, reading.stale, reading.usable) == (None, True, False)


def test_a_value_grows_stale_by_itself(image: Image) -> None:
    image.update(scan(of, [True, 1, 1.0, ""]), 0)
    assert image.read("press/t0", 3 * SECOND).usable
    assert not image.read("press/t0", 3 * SECOND + 1).usable


def test_a_partial_row_is_laid_over_the_last(image: Image) -> None:
    image.update(scan(of, [True, 1, 1.0, "old"]), 0)
    mask = np.array([False, True, False, True])
    status = np.array([0, 0, 0, StatusCode.BAD], np.uint32)
    image.update(scan(of, [False, 2, 9.0, "new"], NOW + 5, status, mask), 2 * SECOND)
    readings = [image.read(f"press/t{i}", 0) for i in range(4)]
    assert [reading.value for reading in readings] == [True, 2, 1.0, "new"]
    assert [reading.source_time - NOW for reading in readings] == [0, 5, 0, 5]
    assert [reading.usable for reading in readings] == [True, True, True, False]


def test_columns_that_never_came_stay_unknown(image: Image) -> None:
    image.update(scan(of, [True, 1, 1.0, ""], columns=np.array([True, False, False, False])), 0)
    assert image.read("press/t0", 0).usable
    assert image.read("press/t1", 0).value is None


def test_an_unknown_tag_is_a_key_error(image: Image) -> None:
    with pytest.raises(KeyError):
        image.read("press/nope", 0)


def test_another_image_goes_on_with_the_groups_that_are_in_both(image: Image) -> None:
    gone, new = group("bool", device="gone"), group("bool", device="new")
    before = Image([of, gone])
    before.update(scan(of, [True, 1, 0.5, "x"]), 0)
    before.update(scan(gone, [True]), 0)
    after = Image([new, of])
    after.adopt(before)
    assert after.read("press/t1", 0).value == 1
    assert after.read("new/t0", 0).value is None
    with pytest.raises(KeyError):
        after.read("gone/t0", 0)


def test_each_tag_grows_stale_on_its_own(image: Image) -> None:
    """Topics that name the tag: one that speaks does not speak for its neighbours."""
    image.update(scan(of, [True, 1, 1.0, "old"], columns=np.array([True, True, False, False])), 0)
    image.update(scan(of, [False, 2, 1.0, "old"], columns=np.array([False, True, False, False])), 3 * SECOND)
    late = 3 * SECOND + 1
    assert [image.read(f"press/t{i}", late).stale for i in range(2)] == [True, False]


@pytest.mark.parametrize("is_partial", [False, True])
def test_what_is_confirmed_keeps_the_time_and_the_status_that_were_settled(image: Image, is_partial: bool) -> None:
    status = np.array([0, StatusCode.UNCERTAIN, 0, 0], np.uint32)
    image.update(scan(of, [True, 1, 1.0, "old"], NOW, status), 0)
    mask = np.array([False, True, False, True]) if is_partial else None
    again = scan(of, [True, 1, 1.0, "old"], NOW - 86_400 * SECOND, None, mask)
    again.known = True
    image.recall(again)
    image.update(again, 3 * SECOND)
    reading = image.read("press/t1", 4 * SECOND)
    assert (reading.source_time, reading.status, reading.stale) == (NOW, StatusCode.UNCERTAIN, False)


def test_what_was_never_there_is_taken_as_it_comes(image: Image) -> None:
    again = scan(of, [True, 1, 1.0, "old"], NOW - SECOND)
    image.recall(again)
    assert again.source_time == NOW - SECOND
    image.update(scan(of, [True, 0, 0.0, ""], NOW, None, np.array([True, False, False, False])), 0)
    image.recall(again)
    assert again.source_time == NOW - SECOND
