from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.pairs import Pair, solve

FLOOR_US = 0.1


def pairs_of(times_us, *, sigma_us=0.05, changed=(), impossible=()):
    """All pairs of these arrival times; ``changed`` {(late, early): extra delay}."""
    changed = dict(changed)
    return [
        Pair(
            i,
            j,
            times_us[i] - times_us[j] + changed.get((i, j), 0.0),
            sigma_us,
            is_possible=(i, j) not in impossible,
        )
        for i, j in combinations(range(len(times_us)), 2)
    ]


def solved(pairs, n, *, tolerance_us=0.2):
    return solve(pairs, [FLOOR_US] * n, tolerance_us=tolerance_us)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=8))
@settings(max_examples=60, deadline=None)
def test_delays_without_error_give_back_their_times_from_the_first(times_us):
    arrivals = solved(pairs_of(times_us), len(times_us))
    found = [a.toa_us for a in arrivals]
    assert found == pytest.approx([t - min(times_us) for t in times_us], abs=1e-6)
    assert min(found) == 0
    assert not any(a.is_outlier for a in arrivals)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_sigma_of_a_pair_is_shared_by_its_receivers_and_joins_the_floor(n):
    for arrival in solved(pairs_of([0.0] * n, sigma_us=0.3), n):
        assert arrival.sigma_us == pytest.approx(np.hypot(FLOOR_US, 0.3 / np.sqrt(2)))


def test_a_noisy_receiver_bears_the_sigma_of_its_pairs_alone():
    sigmas = {(0, 1): 0.01, (0, 2): 1.0, (1, 2): 1.0}
    arrivals = solved([Pair(i, j, 0.0, s) for (i, j), s in sigmas.items()], 3)
    assert [a.sigma_us for a in arrivals] == pytest.approx([FLOOR_US, FLOOR_US, 1.0], rel=0.02)


def test_the_weights_are_those_of_least_squares():
    pairs = [Pair(0, 1, 10.0, 0.1), Pair(1, 2, 5.0, 0.2), Pair(0, 2, 15.3, 0.4)]
    a, b, c = (x.toa_us for x in solved(pairs, 3, tolerance_us=10))
    # The miss of 0.3 round the triangle goes to its sides as their variances: 0.01 : 0.04 : 0.16.
    assert (a - b, b - c, a - c) == pytest.approx(
        (10 + 0.3 * 1 / 21, 5 + 0.3 * 4 / 21, 15.3 - 0.3 * 16 / 21)
    )


def test_a_receiver_whose_pairs_do_not_close_is_an_outlier_and_moves_nobody():
    times_us = [0.0, 40.0, -25.0, 60.0]
    wild = {(0, 3): 5.0, (1, 3): -9.0, (2, 3): 14.0}
    arrivals = solved(pairs_of(times_us, changed=wild), 4)
    assert [a.is_outlier for a in arrivals] == [False, False, False, True]
    assert [a.toa_us for a in arrivals[:3]] == pytest.approx([25.0, 65.0, 0.0])
    # Its own time is the median of what the others say: 60 − (5, −9, 14) late.
    assert arrivals[3].toa_us == pytest.approx(25 + 60 - 5)


def test_one_wrong_pair_among_four_receivers_is_left_out_and_nobody_is_an_outlier():
    times_us = [0.0, 40.0, -25.0, 60.0]
    arrivals = solved(pairs_of(times_us, changed={(0, 1): 30.0}), 4)
    assert [a.toa_us for a in arrivals] == pytest.approx([25.0, 65.0, 0.0, 85.0])
    assert not any(a.is_outlier for a in arrivals)


def test_of_three_that_do_not_close_nobody_can_be_trusted():
    arrivals = solved(pairs_of([0.0, 10.0, 20.0], changed={(0, 1): 5.0}), 3)
    assert all(a.is_outlier for a in arrivals)


def test_a_miss_within_the_noise_or_the_tolerance_is_none():
    for how in ({"sigma_us": 1.0}, {"sigma_us": 0.01, "tolerance_us": 6.0}):
        tolerance_us = how.pop("tolerance_us", 0.0)
        pairs = pairs_of([0.0, 10.0, 20.0], changed={(0, 1): 5.0}, **how)
        arrivals = solved(pairs, 3, tolerance_us=tolerance_us)
        assert not any(a.is_outlier for a in arrivals)


def test_a_clock_that_is_wrong_shows_by_delays_that_no_wave_has():
    wrong = {(0, 2), (1, 2)}
    arrivals = solved(pairs_of([0.0, 10.0, 500.0], impossible=wrong), 3)
    assert [a.is_outlier for a in arrivals] == [False, False, True]
    assert [a.toa_us for a in arrivals] == pytest.approx([0, 10, 500])
    both = solved(pairs_of([0.0, 500.0], impossible={(0, 1)}), 2)
    assert all(a.is_outlier for a in both)


def test_receivers_without_a_pair_have_no_time():
    assert solved([], 3) == (None, None, None)
    arrivals = solved([Pair(0, 2, 7.0, 0.1)], 4)
    assert [a is None for a in arrivals] == [False, True, False, True]


def test_of_two_groups_that_nothing_links_the_larger_counts():
    pairs = [Pair(0, 1, 1.0, 0.1), Pair(2, 3, 2.0, 0.1), Pair(3, 4, 3.0, 0.1)]
    arrivals = solved(pairs, 5)
    assert arrivals[:2] == (None, None)
    assert [a.toa_us for a in arrivals[2:]] == pytest.approx([5.0, 3.0, 0.0])


def test_a_chain_of_pairs_is_enough():
    arrivals = solved([Pair(1, 0, 4.0, 0.1), Pair(2, 1, 6.0, 0.1)], 3)
    assert [a.toa_us for a in arrivals] == pytest.approx([0, 4, 10])


@given(order=st.permutations(range(5)), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_receivers_changes_nothing(order, seed):
    rng = np.random.default_rng(seed)
    times_us = rng.uniform(-50, 50, 5)
    pairs = [
        Pair(p.late, p.early, p.delay_us + rng.normal(0, 0.05), p.sigma_us)
        for p in pairs_of(times_us, changed={(0, 4): 3.0, (1, 4): -4.0, (2, 4): 7.0, (3, 4): 0.0})
    ]
    renamed = [Pair(order[p.late], order[p.early], p.delay_us, p.sigma_us) for p in reversed(pairs)]
    straight, turned = solved(pairs, 5), solved(renamed, 5)
    for i in range(5):
        assert turned[order[i]].toa_us == pytest.approx(straight[i].toa_us, abs=1e-6)
        assert turned[order[i]].sigma_us == pytest.approx(straight[i].sigma_us)
        assert turned[order[i]].is_outlier == straight[i].is_outlier
