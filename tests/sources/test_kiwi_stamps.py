from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.kiwi_stamps import NO_STAMP, fit_stamps

WEEK_NS = 604_800 * 10**9
RATE_HZ = 12_001.137
BEGIN_NS = 124_934 * 10**9


def stamps_of(numbers, *, jitter_ns=0.0, begin_ns=BEGIN_NS, seed=1):
    """int64 [n]: the stamps of the blocks of these numbers."""
    jitter = np.random.default_rng(seed).normal(0, jitter_ns, len(numbers))
    ideal = np.asarray(numbers) * 512e9 / RATE_HZ + jitter
    return (begin_ns + np.rint(ideal).astype(np.int64)) % WEEK_NS


def fit(stamps_ns, nominal_rate_hz=12_001):
    return fit_stamps(
        np.asarray(stamps_ns, np.int64), samples_per_block=512, nominal_rate_hz=nominal_rate_hz
    )


def test_jitter_averages_out_of_the_rate_and_of_the_start():
    line = fit(stamps_of(range(700), jitter_ns=50))
    # A straight line through n points: σ of its slope is σ √12 / n^1.5 a step, at its end 2 σ / √n.
    slope_sigma_s = 50e-9 * np.sqrt(12) / 700**1.5 / 512
    assert line.sample_rate_hz == pytest.approx(RATE_HZ, abs=4 * RATE_HZ**2 * slope_sigma_s)
    assert line.week_time_ns == pytest.approx(BEGIN_NS, abs=4 * 2 * 50 / np.sqrt(700))
    assert line.residual_s == pytest.approx(50e-9, rel=0.15)
    assert (line.block_index == np.arange(700)).all()
    assert line.n_used == 700


def test_a_nominal_rate_of_twelve_thousand_serves_as_well():
    assert fit(stamps_of(range(400)), 12_000).sample_rate_hz == pytest.approx(RATE_HZ, abs=1e-5)


def test_blocks_that_never_came_are_counted_where_the_stamps_jump():
    numbers = [*range(100), *range(103, 180), *range(181, 300)]
    line = fit(stamps_of(numbers, jitter_ns=50))
    assert line.block_index.tolist() == numbers
    assert line.sample_rate_hz == pytest.approx(RATE_HZ, rel=1e-8)


def test_the_week_may_end_within_a_recording():
    line = fit(stamps_of(range(200), begin_ns=WEEK_NS - 3 * 10**9))
    assert line.week_time_ns == pytest.approx(WEEK_NS - 3 * 10**9, abs=2)
    assert line.block_index.tolist() == list(range(200))


def test_absent_and_absurd_stamps_change_nothing():
    stamps = stamps_of(range(300), jitter_ns=50)
    clean = fit(stamps)
    stamps[[0, 50, 51, 299]] = NO_STAMP
    stamps[[20, 120]] = [1, 7 * 10**12]
    stamps[200] += 10_000_000  # 10 ms late: a quarter of a block
    line = fit(stamps)
    assert line.block_index.tolist() == list(range(300))
    assert line.week_time_ns == pytest.approx(clean.week_time_ns, abs=20)
    assert line.n_used == 300 - 7


def test_a_stamp_that_is_a_microsecond_off_does_not_pull_the_line():
    stamps = stamps_of(range(300), jitter_ns=30)
    clean = fit(stamps)
    stamps[10] += 5_000
    assert fit(stamps).week_time_ns == pytest.approx(clean.week_time_ns, abs=2)
    assert fit(stamps).residual_s < 40e-9


def test_a_run_of_stale_stamps_before_the_true_ones_is_left_out():
    stale = stamps_of(range(5), begin_ns=BEGIN_NS - 567_123_456_789)
    line = fit(np.concatenate((stale, stamps_of(range(5, 200)))))
    assert line.block_index.tolist() == list(range(200))
    assert line.week_time_ns == pytest.approx(BEGIN_NS, abs=2)
    assert line.n_used == 195


def test_a_loss_before_the_longest_run_is_counted_too():
    numbers = [*range(20), *range(30, 200)]
    assert fit(stamps_of(numbers)).block_index.tolist() == numbers


def test_a_loss_beside_a_stamp_that_is_absent_is_still_counted():
    numbers = [*range(60), *range(62, 150)]
    stamps = stamps_of(numbers)
    stamps[59:61] = NO_STAMP
    line = fit(stamps)
    assert line.block_index[-1] == 149
    assert (np.diff(line.block_index) >= 1).all()


@pytest.mark.parametrize(
    "stamps",
    [
        np.random.default_rng(3).integers(0, WEEK_NS, 100),
        np.full(100, BEGIN_NS),
        stamps_of(range(100)) * 2 % WEEK_NS,
        stamps_of(range(100))[::-1],
        stamps_of(range(6)),
        [NO_STAMP, BEGIN_NS],
        [BEGIN_NS],
    ],
    ids=["random", "standing still", "double speed", "backwards", "six", "one", "alone"],
)
def test_stamps_that_contradict_each_other_are_refused_with_their_step(stamps):
    with pytest.raises(ValueError, match=r"follow the one before by 42\.66\d ms"):
        fit(stamps)


@settings(max_examples=40, deadline=None)
@given(
    losses=st.lists(st.integers(0, 3), min_size=60, max_size=120),
    absent=st.sets(st.integers(0, 59), max_size=8),
    seed=st.integers(0, 1000),
)
def test_any_losses_and_absent_stamps_leave_the_time_of_the_last_block(losses, absent, seed):
    # Each loss is followed by at least four whole blocks, as a short interruption is.
    steps = np.ones(5 * len(losses), int)
    steps[::5] += losses
    numbers = np.cumsum(steps) - steps[0]
    stamps = stamps_of(numbers, jitter_ns=50, seed=seed)
    stamps[sorted(absent)] = NO_STAMP
    line = fit(stamps)
    assert (np.diff(line.block_index) >= 1).all()
    last_ns = line.week_time_ns + line.block_index[-1] * 512e9 / line.sample_rate_hz
    assert last_ns == pytest.approx(BEGIN_NS + numbers[-1] * 512e9 / RATE_HZ, abs=300)
