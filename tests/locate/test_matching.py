"""Which observations are of one transmission, by their times."""

from __future__ import annotations

import random

import pytest

from heimdall_edge.locate.matching import Matcher, overlap_ns
from heimdall_edge.types import NS_PER_S, Observation, Place, ReceiverInfo

MATCHER = Matcher(tolerance_s=0.02, min_overlap=0.5)


def observed(receiver: str, start_s: float, duration_s: float) -> Observation:
    return Observation(
        observation_id=f"{receiver}@{start_s}",
        receiver=ReceiverInfo("s", receiver, Place(45, 7)),
        channel="c",
        frequency_hz=1e8,
        start_utc_ns=round(start_s * NS_PER_S),
        duration_s=duration_s,
        noise_floor_dbfs=-60,
    )


def ids(groups) -> set[frozenset[str]]:
    return {frozenset(o.observation_id for o in group.observations) for group in groups}


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        ((0.0, 1.0), (0.0, 1.0), True),
        ((0.0, 1.0), (0.4, 1.0), True),
        ((0.0, 1.0), (0.6, 1.0), False),
        ((0.0, 10.0), (4.0, 0.1), True),
        ((0.0, 0.001), (0.015, 0.001), True),
        ((0.0, 0.001), (0.025, 0.001), False),
        ((0.0, 1.0), (1.0, 1.0), False),
        ((0.0, 1.0), (0.995, 1.0), False),
        ((0.0, 0.01), (0.01005, 0.01), False),
        ((5.0, 0.0), (5.0, 0.0), True),
    ],
    ids=[
        "the same window",
        "most of it shared",
        "too little shared",
        "a short one within a long one",
        "short ones, clocks apart within the tolerance",
        "short ones, too far apart",
        "the next window of a grid",
        "the next window, clocks a little apart",
        "the next window of a grid finer than the tolerance",
        "two instants",
    ],
)
def test_two_receivers_match_when_they_overlap_or_start_together(a, b, match):
    one, other = observed("a", *a), observed("b", *b)
    assert MATCHER.matches(one, other) is match
    assert MATCHER.matches(other, one) is match


def test_one_receivers_observations_never_match():
    assert not MATCHER.matches(observed("a", 0, 1), observed("a", 0, 1))


def test_overlap_is_the_time_that_both_last():
    assert overlap_ns(observed("a", 0, 1), observed("b", 0.25, 5)) == 750_000_000
    assert overlap_ns(observed("a", 0, 1), observed("b", 2, 1)) == 0


def test_receivers_that_heard_one_burst_are_one_group():
    group = MATCHER.groups([observed(r, 0.001 * i, 1.0) for i, r in enumerate("abcd")])
    assert len(group) == 1
    assert len(group[0].observations) == 4
    assert group[0].n_pieces == 0


def test_pieces_of_a_transmission_that_others_heard_whole_are_left_to_the_best_piece():
    whole = [observed("a", 0.0, 5.0), observed("b", 0.0, 5.0)]
    pieces = [observed("c", 0.0, 1.0), observed("c", 1.2, 2.5), observed("c", 4.0, 0.9)]
    (group,) = MATCHER.groups([*whole, *pieces])
    assert ids([group]) == {frozenset({"a@0.0", "b@0.0", "c@1.2"})}
    assert group.n_pieces == 2


def test_bursts_that_two_receivers_heard_within_a_thirds_long_one_stay_apart():
    long = observed("a", 0.0, 5.0)
    bursts = [observed(r, start, 0.5) for start in (0.5, 2.0, 3.5) for r in "bc"]
    groups = MATCHER.groups([long, *bursts])
    assert len(groups) == 3
    assert sorted(len(group.observations) for group in groups) == [2, 2, 3]
    for group in groups:
        starts = {o.start_utc_ns for o in group.observations if o.receiver.receiver_id != "a"}
        assert len(starts) == 1
    assert all(group.n_pieces == 0 for group in groups)


def test_short_bursts_of_slow_clocks_go_to_the_nearest_start():
    bursts = [observed("a", 0.0, 0.001), observed("a", 0.015, 0.001)]
    others = [observed("b", 0.004, 0.001), observed("b", 0.019, 0.001)]
    groups = MATCHER.groups([*bursts, *others])
    assert ids(groups) == {frozenset({"a@0.0", "b@0.004"}), frozenset({"a@0.015", "b@0.019"})}


def test_groups_do_not_depend_on_the_order_of_the_observations():
    rng = random.Random(4)
    members = [
        observed(rng.choice("abcdef"), round(rng.uniform(0, 3), 3), round(rng.uniform(0, 1), 3))
        for _ in range(40)
    ]
    expected = ids(MATCHER.groups(members))
    for _ in range(5):
        rng.shuffle(members)
        groups = MATCHER.groups(members)
        assert ids(groups) == expected
        for group in groups:
            keys = [o.receiver.key for o in group.observations]
            assert len(set(keys)) == len(keys), "a receiver is twice in a group"
