from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.address import Table
from drivers.modbus.plan import RELEARN, Block, Extent, Limits, Plan

H = Table.HOLDING


def extents(*places: tuple[int, int], table: Table = H) -> list[Extent]:
    return [Extent(table, start, count, column) for column, (start, count) in enumerate(places)]


def spans(plan: Plan) -> list[tuple[int, int]]:
    return [(block.start, block.count) for block in plan.blocks]


def test_neighbours_share_a_block_over_a_gap_and_no_further() -> None:
    assert spans(Plan(1, extents((0, 2), (10, 1), (19, 1), (29, 1)), Limits())) == [(0, 20), (29, 1)]
    assert spans(Plan(1, extents((0, 1), (1, 1), (3, 1)), Limits(gap=0))) == [(0, 2), (3, 1)]


def test_a_gap_of_bits_is_sixteen_times_as_wide() -> None:
    assert spans(Plan(1, extents((0, 1), (129, 1), (259, 1), table=Table.COIL), Limits())) == [(0, 130), (259, 1)]


def test_no_block_is_longer_than_the_limit() -> None:
    assert spans(Plan(1, extents(*((i, 1) for i in range(300))), Limits())) == [(0, 125), (125, 125), (250, 50)]
    assert spans(Plan(1, extents((0, 4), (4, 4), (8, 4)), Limits(registers=10))) == [(0, 8), (8, 4)]


tables = st.sampled_from(Table)
placed = st.lists(st.tuples(tables, st.integers(0, 400), st.sampled_from([1, 1, 2, 4])), min_size=1, max_size=60).map(
    lambda found: [Extent(t, start, 1 if t.has_bits else n, i) for i, (t, start, n) in enumerate(found)]
)


def refused(block: Block, holes: set[tuple[Table, int]]) -> bool:
    return any((block.table, at) in holes for at in range(block.start, block.stop))


def scan(plan: Plan, holes: set[tuple[Table, int]]) -> tuple[set[int], int]:
    """The columns that a device with these holes gives, and the number of reads it took. The plan learns."""
    good: set[int] = set()
    halved: list[Block] = []
    culprits: list[Block] = []
    queue = list(plan.blocks)
    reads = 0
    while queue:
        block = queue.pop(0)
        reads += 1
        if not refused(block, holes):
            good.update(block.columns)
        elif (halves := plan.halve(block)) is not None:
            halved.append(block)
            queue[:0] = halves
        else:
            culprits.append(block)
    if halved or culprits:
        plan.learn(halved, culprits, now=0)
    return good, reads


@given(placed, st.integers(4, 125), st.integers(0, 20), st.sets(st.tuples(tables, st.integers(0, 404)), max_size=6))
def test_every_good_tag_is_read_once_and_no_hole_twice(
    found: list[Extent], registers: int, gap: int, holes: set[tuple[Table, int]]
) -> None:
    plan = Plan(1, found, Limits(registers, gap))
    assert sorted(column for block in plan.blocks for column in block.columns) == list(range(len(found)))

    good, _ = scan(plan, holes)
    for _ in holes:  # a hole in a gap shows itself once the culprits beside it are left out
        scan(plan, holes)

    for block in plan.blocks:
        assert block.count <= (registers * 16 if block.table.has_bits else registers)
        assert not refused(block, holes)
    asked = [column for block in plan.blocks for column in block.columns]
    assert len(asked) == len(set(asked))
    assert set(asked) | {extent.column for extent in plan.bad} == set(range(len(found)))
    clean = {e.column for e in found if not any((e.table, at) in holes for at in range(e.start, e.stop))}
    assert clean <= good


def test_a_hole_costs_one_more_read_from_the_next_scan_on() -> None:
    plan = Plan(1, extents(*((i, 1) for i in range(100))), Limits())
    good, reads = scan(plan, {(H, 37)})
    assert good == set(range(100)) - {37}
    assert reads <= 2 * 7 + 1
    assert spans(plan) == [(0, 37), (38, 62)]
    assert scan(plan, {(H, 37)}) == (good, 2)


def test_a_hole_in_a_gap_costs_no_tag() -> None:
    plan = Plan(1, extents((0, 1), (4, 1), (8, 1)), Limits())
    scan(plan, {(H, 2)})
    assert not plan.bad
    assert spans(plan) == [(0, 1), (4, 5)]


def test_bits_of_one_register_fall_together() -> None:
    plan = Plan(1, extents((0, 1), (1, 1), (1, 1), (1, 1)), Limits())
    good, reads = scan(plan, {(H, 1)})
    assert (good, reads) == ({0}, 3)


def test_what_was_learned_is_tried_anew_after_an_hour() -> None:
    plan = Plan(1, extents((0, 1), (1, 1)), Limits())
    scan(plan, {(H, 1)})
    plan.refresh(RELEARN - 1)
    assert spans(plan) == [(0, 1)]
    plan.refresh(RELEARN)
    assert spans(plan) == [(0, 2)]
    assert not plan.bad


def test_silent_blocks_are_asked_last() -> None:
    plan = Plan(1, extents((0, 1), (100, 1), (200, 1)), Limits())
    plan.postpone([plan.blocks[0]])
    assert spans(plan) == [(100, 1), (200, 1), (0, 1)]


@given(placed, st.integers(1, 125), st.integers(0, 20))
def test_the_memory_holds_every_block_without_overlap(found: list[Extent], registers: int, gap: int) -> None:
    plan = Plan(1, found, Limits(max(registers, 4), gap))
    for block in plan.blocks:
        assert 0 <= block.place.start < block.place.stop <= plan.size
        for extent in (plan.extents[column] for column in block.columns):
            width = 1 if extent.table.has_bits else 2
            assert extent.offset == block.place.start + width * (extent.start - block.start)
    owner: dict[int, tuple[Table, int]] = {}
    for extent in plan.extents:
        width = 1 if extent.table.has_bits else 2
        for i in range(width * extent.count):
            address = (extent.table, width * extent.start + i)
            assert owner.setdefault(extent.offset + i, address) == address
