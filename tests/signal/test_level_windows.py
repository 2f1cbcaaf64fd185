from __future__ import annotations

import pytest

from heimdall_edge.signal.levels import LevelTracker
from tests.signal.level_series import Series, at, seconds


def test_whole_windows_of_the_grid_are_given_and_no_others():
    series = Series(LevelTracker(mode="continuous", window_s=4), noise_db=-70)
    series.now_s = 1.0
    series.until(14, quiet_db=-90.0)
    assert [seconds(s) for s in series.spans] == [(4.0, 8.0), (8.0, 12.0)]
    assert series.spans[0].level_db == pytest.approx(-70, abs=0.01)
    assert series.spans[0].floor_db == pytest.approx(-90, abs=0.01)
    assert series.tracker.listened_until_ns == at(12)


def test_a_window_with_a_gap_is_not_given():
    series = Series(LevelTracker(mode="continuous", window_s=4, max_gap_s=1), noise_db=-70)
    series.until(5, quiet_db=-90.0)
    series.now_s = 6.5
    series.until(13, quiet_db=-90.0)
    assert [seconds(s) for s in series.spans] == [(8.0, 12.0)]


def test_a_window_that_is_no_stronger_than_its_floor_is_not_given():
    series = Series(LevelTracker(mode="continuous", window_s=4)).until(13, quiet_db=-90.0)
    assert series.spans == []
    assert series.tracker.limit_db == pytest.approx(-82, abs=0.1)


def test_without_a_spectrum_the_floor_is_that_of_quiet_moments():
    series = Series(LevelTracker(mode="continuous", window_s=4)).until(20).until(28, -70)
    assert [seconds(s) for s in series.spans] == [(20.0, 24.0), (24.0, 28.0)]
    assert series.spans[0].floor_db == pytest.approx(-90, abs=0.2)


def test_values_far_apart_are_split_at_the_grid():
    tracker = LevelTracker(mode="continuous", window_s=0.5, max_gap_s=3)
    spans = [s for t in (0.1, 2.1, 3.3) for s in tracker.add(at(t), -60, quiet_db=-90.0)]
    assert [seconds(s) for s in spans] == [(i / 2, i / 2 + 0.5) for i in range(1, 6)]
