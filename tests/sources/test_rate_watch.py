"""Whether samples come at the rate that was asked for."""

import pytest

from heimdall_edge.sources.rate_watch import RateWatch

RATE_HZ = 1e6


def watch_of(measured_hz, *, after_s, step_s=0.1):
    watch = RateWatch(sample_rate_hz=RATE_HZ, began_monotonic_ns=5)
    for step in range(1, round(after_s / step_s) + 1):
        watch.note(round(measured_hz * step_s), 5 + round(step * step_s * 1e9))
    return watch


@pytest.mark.parametrize("error", [0, 100e-6, -100e-6, 0.005])
def test_a_bad_crystal_is_no_wrong_rate(error):
    watch = watch_of(RATE_HZ * (1 + error), after_s=600)
    assert not watch.is_too_fast
    assert watch.slow_hz is None
    assert watch.measured_hz == pytest.approx(RATE_HZ * (1 + error), rel=1e-6)


@pytest.mark.parametrize(("factor", "after_s"), [(2.0, 2.2), (2.4, 1.6), (1.25, 9)])
def test_too_many_samples_prove_another_rate(factor, after_s):
    assert watch_of(factor * RATE_HZ, after_s=after_s).is_too_fast


def test_samples_of_the_rate_before_do_not():
    watch = RateWatch(sample_rate_hz=250e3, began_monotonic_ns=0)
    watch.note(204_800, 100_000_000)  # 0.1 s at 2.048 Msps
    assert not watch.is_too_fast


def test_a_queue_that_empties_after_a_pause_is_not_too_fast():
    watch = RateWatch(sample_rate_hz=RATE_HZ, began_monotonic_ns=0)
    watch.note(1_000, 10_000_000_000)
    watch.note(9_999_000, 10_500_000_000)
    assert not watch.is_too_fast


def test_half_of_the_samples_is_too_slow_and_said_once_a_window():
    assert watch_of(RATE_HZ / 2, after_s=9.9).slow_hz is None
    assert watch_of(RATE_HZ / 2, after_s=10).slow_hz == pytest.approx(RATE_HZ / 2)
    assert watch_of(RATE_HZ / 2, after_s=10.1).slow_hz is None
    assert watch_of(RATE_HZ / 2, after_s=20).slow_hz == pytest.approx(RATE_HZ / 2)


def test_a_link_that_becomes_slow_is_noticed_however_long_it_was_good():
    watch = watch_of(RATE_HZ, after_s=3600, step_s=10)
    watch.note(8_000_000, 5 + 3_610_000_000_000)
    assert watch.slow_hz == pytest.approx(0.8 * RATE_HZ)


def test_nothing_is_measured_before_anything_came():
    assert RateWatch(sample_rate_hz=RATE_HZ, began_monotonic_ns=0).measured_hz == 0.0
