from __future__ import annotations

from gateway.halving import pick, singles
from gateway.model import Rows, ValueType
from gateway.suspects import Suspects
from tests.gateway.sinks.samples import rows

F64 = ValueType.FLOAT64


def batch(count: int = 10) -> Rows:
    return rows({"a": F64, "b": F64, "c": F64, "d": F64}, *[(i, i, i, i) for i in range(count)])


def column(number: int, count: int = 10) -> Rows:
    return pick(batch(count), [number])


def names(parts: tuple[Rows, ...]) -> list[list[str]]:
    return [[column.name for column in part.schema.columns] for part in parts]


def test_they_travel_apart_until_they_are_cleared() -> None:
    suspects = Suspects()
    assert suspects.sort(whole := batch()) == ((whole,), ())
    suspects.learn([whole], [], list(singles(column(2)))[:1])
    good, bad = suspects.sort(whole)
    assert (names(good), names(bad)) == ([["a", "b", "d"]], [["c"]])
    assert not suspects.is_proven(bad[0]), "only one of its values was refused"
    suspects.learn(good, bad, [])
    assert suspects.sort(whole)[1] == ()


def test_a_column_is_proven_bad_by_values_in_a_row() -> None:
    suspects = Suspects()
    suspects.learn([batch(4)], [], singles(column(2, 4)))
    assert not suspects.is_proven(column(2))
    suspects.learn([], [column(2, 4)], singles(column(2, 4)))
    assert suspects.is_proven(column(2))
    suspects.learn([], [column(2, 4)], list(singles(column(2, 4)))[1:])
    assert not suspects.is_proven(column(2)), "one was accepted"
    assert names(suspects.sort(batch())[1]) == [["c"]]


def test_rows_that_are_refused_make_no_column_suspect() -> None:
    """Half of them are too old; or all."""
    suspects = Suspects()
    for refused in (batch(5), batch(10)):
        suspects.learn([batch(10)], [], singles(refused))
        assert suspects.sort(batch())[1] == ()


def test_most_columns_may_be_bad() -> None:
    suspects = Suspects()
    suspects.learn([batch()], [], singles(pick(batch(), [0, 1, 2])))
    assert names(suspects.sort(batch())[1]) == [["a"], ["b"], ["c"]]


def test_no_more_than_a_thousand_are_remembered() -> None:
    suspects = Suspects()
    wide = rows({f"t{i}": F64 for i in range(3000)}, [float(i) for i in range(3000)])
    suspects.learn([wide], [], singles(pick(wide, range(1400))))
    assert len(suspects.sort(wide)[1]) == 1000
