from __future__ import annotations

import pytest
import yaml

from simulators.demo import course
from simulators.demo.folder import CONFIGURATION


def test_the_limit_is_that_of_the_rule() -> None:
    rules = yaml.safe_load((CONFIGURATION / "rules.yaml").read_text("utf-8"))["rules"]
    assert rules["bearing-hot"]["limit"]["high"] == course.LIMIT


@pytest.mark.parametrize("length", [10, 30, 120])
def test_the_bearing_can_be_hot_while_the_cloud_is_away_and_does_not_seize_first(length: float) -> None:
    life, age = course.schedule(length)
    hot = course.hot_at(life)
    assert hot - age == pytest.approx(course.LEAD_SECONDS + course.HOT * length)
    assert hot < life
    assert course.CUT < course.HOT < course.RESTORED
