from __future__ import annotations

import math

import numpy as np
import pytest

from heimdall_edge.signal.levels import LevelTracker
from tests.signal.level_series import PERIOD_S, Series, at, seconds


def test_a_transmission_is_found_with_its_times_level_and_floor():
    series = Series(LevelTracker()).until(10).until(11.5, -70).until(13)
    (span,) = series.spans
    assert seconds(span) == pytest.approx((10.0, 11.5))
    assert span.level_db == pytest.approx(-70, abs=0.01)
    assert span.floor_db == pytest.approx(-90, abs=0.2)
    assert span.snr_db == pytest.approx(20, abs=0.2)
    assert span.duration_s == pytest.approx(1.5)


def test_the_level_is_that_of_the_mean_power():
    series = Series(LevelTracker()).until(10).until(11, -70).until(12, -60).until(13)
    (span,) = series.spans
    assert span.level_db == pytest.approx(10 * math.log10((1e-7 + 1e-6) / 2), abs=0.01)


def test_a_rise_that_opens_later_counts_from_where_it_rose():
    series = Series(LevelTracker()).until(10).until(11, -84).until(12, -70).until(13)
    assert seconds(series.spans[0]) == pytest.approx((10.0, 12.0))


def test_under_the_opening_threshold_nothing_is_reported():
    series = Series(LevelTracker(open_db=8)).until(10).until(12, -83).until(14)
    assert series.spans == []
    assert series.tracker.limit_db == pytest.approx(-82, abs=0.2)


def test_a_pause_within_the_hang_is_bridged_and_a_longer_one_parts():
    def keyed(pause_s: float):
        series = Series(LevelTracker(hang_s=0.25)).until(10).until(11, -70)
        return series.until(11 + pause_s).until(12.5, -70).until(14).spans

    assert len(keyed(0.2)) == 1
    assert [seconds(s) for s in keyed(0.5)] == [
        pytest.approx((10.0, 11.0)),
        pytest.approx((11.5, 12.5)),
    ]


def test_what_is_too_short_is_marked_as_such():
    series = Series(LevelTracker(min_duration_s=0.3)).until(10).until(10.2, -70).until(12)
    (span,) = series.spans
    assert span.is_too_short
    assert seconds(span) == pytest.approx((10.0, 10.2))
    series.until(12.4, -70).until(14)
    assert [s.is_too_short for s in series.spans] == [True, False]


def test_a_long_one_is_cut_at_whole_multiples_in_utc():
    series = Series(LevelTracker(max_duration_s=4)).until(10).until(21, -70).until(23)
    assert [seconds(s) for s in series.spans] == [
        pytest.approx(pair) for pair in ((10.0, 12.0), (12.0, 16.0), (16.0, 20.0), (20.0, 21.0))
    ]


def test_how_far_it_is_decided_stays_at_the_start_of_what_is_open():
    series = Series(LevelTracker(max_duration_s=4))
    assert series.tracker.listened_until_ns is None
    assert series.until(1.9).tracker.listened_until_ns is None  # no floor yet
    assert series.until(10).tracker.listened_until_ns == at(10)
    assert series.until(10.5, -70).tracker.listened_until_ns == at(10)
    assert series.until(14.5, -70).tracker.listened_until_ns == at(12)  # cut there
    assert series.until(16).tracker.listened_until_ns == at(16)


def test_the_first_seconds_are_decided_by_their_own_floor():
    series = Series(LevelTracker()).until(0.5).until(1, -70).until(4)
    assert [seconds(s) for s in series.spans] == [pytest.approx((0.5, 1.0))]


def test_the_floor_follows_the_noise_down_at_once_and_up_within_a_minute():
    series = Series(LevelTracker()).until(30).until(35, -96)
    assert series.tracker.floor_db == pytest.approx(-96, abs=0.3)
    series.until(95, -90)
    assert series.tracker.floor_db == pytest.approx(-90, abs=0.3)


def test_noise_that_wavers_is_read_within_half_a_decibel_and_opens_nothing():
    rng = np.random.default_rng(1)
    tracker, spans = LevelTracker(), []
    for i, power in enumerate(1e-9 * rng.gamma(150, 1 / 150, 6000)):
        spans += tracker.add(at(i * PERIOD_S), 10 * math.log10(power))
    assert spans == []
    assert tracker.floor_db == pytest.approx(-90, abs=0.6)
