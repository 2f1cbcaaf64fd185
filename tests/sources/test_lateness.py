"""Losses in lateness: a rise that stays is one, anything that comes back is none."""

import numpy as np
import pytest

from heimdall_edge.sources.lateness import (
    FIRST_LEAST_LOSS_S,
    MOST_CONFIRM_BINS,
    LatenessWatch,
)

EVERY_S = 0.03


def play(residuals_s, watch=None, *, start_s=0.0):
    """[(seconds, lost)] of what was found; losses are taken out afterwards, as a clock does."""
    watch = watch or LatenessWatch(least_loss_s=0.01)
    told, out_s = [], 0.0
    for i, residual_s in enumerate(residuals_s):
        lost_s = watch.note(start_s + i * EVERY_S, residual_s - out_s)
        out_s += lost_s
        if lost_s:
            told.append((start_s + i * EVERY_S, lost_s))
    return told


def steady(seconds, level_s=0.0, rng=None):
    n = round(seconds / EVERY_S)
    return level_s + (rng or np.random.default_rng(0)).exponential(0.001, n)


def test_jitter_alone_is_no_loss():
    assert play(steady(600)) == []


@pytest.mark.parametrize("loss_s", [0.015, 0.05, 0.5, 3.0])
def test_a_rise_that_stays_is_a_loss_of_that_size_found_within_five_seconds(loss_s):
    told = play([*steady(60), *steady(60, loss_s)])
    assert len(told) == 1
    at_s, lost_s = told[0]
    assert 60 < at_s < 65
    assert lost_s == pytest.approx(loss_s, abs=5e-4)


def test_right_after_the_start_a_loss_of_fifty_milliseconds_is_found():
    told = play([*steady(5), *steady(20, 0.05)])
    assert len(told) == 1
    assert told[0][1] == pytest.approx(0.05, abs=2e-3)


@pytest.mark.parametrize("stall_s", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("speed", [1.05, 1.3, 5.0])
def test_a_stall_that_catches_up_is_none_however_slowly(stall_s, speed):
    took_s = stall_s * speed / (speed - 1)
    catching_up = np.linspace(stall_s, 0, round(took_s / EVERY_S))
    assert play([*steady(60), *catching_up, *steady(60)]) == []


def test_a_late_first_chunk_is_none():
    assert play([1.0, 0.8, *steady(60)]) == []


def test_a_loss_in_two_steps_is_found_in_all():
    told = play([*steady(60), *steady(2, 0.05), *steady(60, 0.12)])
    assert sum(lost_s for _, lost_s in told) == pytest.approx(0.12, abs=2e-3)


def test_the_least_loss_follows_the_scatter():
    quiet, loud = LatenessWatch(least_loss_s=0.01), LatenessWatch(least_loss_s=0.01)
    assert quiet.least_loss_s == FIRST_LEAST_LOSS_S
    rng = np.random.default_rng(1)
    assert play(steady(60), quiet) == []
    assert play(steady(60) + np.repeat(rng.uniform(0, 0.02, 20), 100), loud) == []
    assert quiet.least_loss_s == 0.01
    assert loud.least_loss_s > 0.02


def test_after_a_false_alarm_it_waits_longer():
    """A stall of ten seconds at one lateness looks like a loss; the second one no more."""
    watch = LatenessWatch(least_loss_s=0.01)
    long_stall = [*steady(60), *steady(5, 0.3), *steady(60)]
    assert len(play(long_stall, watch)) == 1
    assert play([*steady(60, -0.3), *steady(5, 0.0), *steady(60, -0.3)], watch, start_s=125) == []


def test_after_an_hour_without_another_it_is_as_quick_as_before():
    watch = LatenessWatch(least_loss_s=0.01)
    assert len(play([*steady(60), *steady(5, 0.3), *steady(60)], watch)) == 1
    later = [*steady(3700, -0.3), *steady(20, 0.0)]
    (told,) = play(later, watch, start_s=125)
    assert 0 < told[0] - 3825 < 5


def test_its_memory_is_bounded():
    watch = LatenessWatch(least_loss_s=0.01)
    play(steady(1000), watch)
    assert len(watch._bins) <= MOST_CONFIRM_BINS


def test_samples_that_are_lost_all_the_time_are_told_every_ten_seconds_or_so():
    leaking = np.arange(round(60 / EVERY_S)) * EVERY_S * 0.1
    told = play([*steady(60), *leaking, *steady(60, 6.0)])
    assert len(told) >= 5
    assert sum(lost_s for _, lost_s in told) == pytest.approx(6.0, abs=0.02)


def test_one_stall_upon_another_is_no_loss():
    saw = np.tile(np.linspace(0.6, 0.1, round(1.5 / EVERY_S)), 5)
    assert play([*steady(60), *saw, *steady(60)]) == []
