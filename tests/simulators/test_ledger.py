from __future__ import annotations

from simulators.ledger import Ledger
from simulators.lineprotocol import parse


def test_the_same_point_again_is_a_duplicate_and_another_value_a_conflict() -> None:
    ledger = Ledger()
    for line in ("m,s=a v=1,w=2 5", "m,s=a v=1 5", "m,s=a v=2 5", "m,s=a v=2 5", "m,s=a v=1 6", "m,s=b v=1 5"):
        point = parse(line)
        assert ledger.clash(point) is None
        ledger.enter(point, point.time or 0)
    assert ledger.counts == {"lines": 6, "points": 7, "duplicates": 2, "conflicts": 1}
    assert ledger.series == 2


def test_a_field_keeps_its_type_in_all_series_of_a_measurement() -> None:
    ledger = Ledger()
    ledger.enter(parse("m,s=a v=1 5"), 5)
    assert ledger.clash(parse("m,s=b w=1i,v=1i 5")) == (
        'field type conflict: input field "v" on measurement "m" is type integer, already exists as type float'
    )
    assert ledger.clash(parse("n v=1i 5")) is None
