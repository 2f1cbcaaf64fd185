"""The last seconds of a receiver."""

from __future__ import annotations

from heimdall_edge.evidence.ring import BlockRing
from heimdall_edge.types import NS_PER_S

from .radio import START_UTC_NS, blocks


def ring(made, *, max_bytes=2**30, max_age_s=3600.0):
    result = BlockRing(max_bytes=max_bytes, max_age_s=max_age_s)
    for block in made:
        result.append(block)
    return result


def held(of, start_s=-1e3, end_s=1e3):
    start, end = (START_UTC_NS + round(s * NS_PER_S) for s in (start_s, end_s))
    return of.between(start, end)


def test_blocks_are_kept_by_reference_and_in_order():
    made = blocks(0.5)
    kept = held(ring(made))
    assert len(kept) == 10
    assert all(a is b for a, b in zip(kept, made, strict=True))


def test_what_is_too_old_goes():
    kept = held(ring(blocks(2.0), max_age_s=0.5))
    assert len(kept) == 11
    assert kept[0].start_utc_ns == START_UTC_NS + 1_450_000_000


def test_bytes_are_bounded_but_the_newest_block_stays():
    made = blocks(2.0)
    bounded = ring(made, max_bytes=110_000)
    assert bounded.n_bytes == 100_000
    assert len(held(bounded)) == 4
    (last,) = held(ring(made, max_bytes=10))
    assert last is made[-1]


def test_a_span_gives_every_block_that_has_a_part_of_it():
    of = ring(blocks(1.0))
    assert [b.sample_start for b in held(of, 0.26, 0.31)] == [62_500, 75_000]
    assert [b.sample_start for b in held(of, 0.25, 0.30)] == [62_500]
    assert held(of, 5, 6) == ()


def test_it_may_be_told_to_reach_farther_back():
    made = blocks(2.0)
    of = ring(made[:20], max_age_s=0.2)
    assert len(held(of)) == 5
    of.max_age_s = 0.4
    for block in made[20:]:
        of.append(block)
    assert len(held(of)) == 9


def test_a_clock_that_is_set_back_costs_no_more_memory_than_is_allowed():
    of = ring(blocks(1.0), max_bytes=150_000)
    for block in blocks(1.0):
        of.append(block)
    assert of.n_bytes == 150_000
