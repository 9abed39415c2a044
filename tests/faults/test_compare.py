"""The yardstick itself: it must see what it is there to see."""

from tests.faults.compare import Pair, compare, compare_rows


def pairs(*values: bytes) -> list[Pair]:
    return [(value[:1], value) for value in values]


def by_id(pair: Pair) -> object:
    return (pair[1] or b"")[:2]


def test_a_merge_of_two_sources_is_exact() -> None:
    sources = [[pairs(b"a1", b"a2", b"a3"), []], [pairs(b"b1", b"b2"), pairs(b"b3")]]
    assert compare("t", sources, [pairs(b"b1", b"a1", b"a2", b"b2", b"a3"), pairs(b"b3")], by_id).exact


def test_loss_doubling_difference_and_order_are_told_apart() -> None:
    sources = [[pairs(b"a1", b"a2", b"a3", b"a4", b"a5")]]
    verdict = compare("t", sources, [pairs(b"a1", b"a1", b"a3x", b"a5", b"a4")], by_id)
    assert (verdict.lost, verdict.doubled, verdict.different, verdict.out_of_order) == (1, 1, 1, 1)
    assert not verdict.exact


def test_one_lost_and_another_doubled_do_not_cancel_out() -> None:
    verdict = compare("t", [[pairs(b"a1", b"a2")]], [pairs(b"a1", b"a1")], by_id)
    assert (verdict.lost, verdict.doubled, verdict.different) == (1, 1, 0)
    assert not verdict.exact


def test_a_record_in_a_foreign_partition_is_different() -> None:
    verdict = compare("t", [[pairs(b"a1"), []]], [[], pairs(b"a1")], by_id)
    assert (verdict.lost, verdict.doubled, verdict.different) == (0, 0, 1)


def test_rows_are_compared_by_value() -> None:
    verdict = compare_rows("t", {1: "a", 2: "b", 3: "c"}, [(1, "a"), (2, "x"), (2, "b")])
    assert (verdict.lost, verdict.doubled, verdict.different) == (1, 1, 1)
    assert compare_rows("t", {1: "a"}, [(1, "a")]).exact
