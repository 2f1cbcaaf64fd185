from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.levels import LevelTracker
from heimdall_edge.types import NS_PER_S
from tests.signal.level_series import START, Series, at, seconds


def test_a_gap_ends_what_is_open_where_it_was_last_heard():
    series = Series(LevelTracker(max_gap_s=1)).until(10).until(11, -70)
    series.now_s = 15.0
    series.until(16, -70).until(17)
    first, second = series.spans
    assert seconds(first) == pytest.approx((10.0, 11.0))
    assert seconds(second) == pytest.approx((15.1, 16.0))
    assert series.tracker.listening_since_ns == at(15.1)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, -0.5])
def test_a_clock_that_steps_ends_what_is_open(step_s):
    tracker = LevelTracker()
    series = Series(tracker).until(10).until(11, -70)
    ended = tracker.add(at(11 + step_s), -70)
    assert [seconds(s) for s in series.spans + ended] == [pytest.approx((10.0, 11.0))]
    assert tracker.listening_since_ns == at(11 + step_s)


def test_a_second_value_of_one_instant_is_passed_over():
    series = Series(LevelTracker()).until(10).until(11, -70)
    assert series.tracker.add(at(11), -90) == []
    assert seconds(series.until(12).spans[0]) == pytest.approx((10.0, 11.0))


def test_flush_gives_what_is_open_once():
    series = Series(LevelTracker()).until(10).until(11, -70)
    assert [seconds(s) for s in series.tracker.flush()] == [pytest.approx((10.0, 11.0))]
    assert series.tracker.flush() == []


@pytest.mark.parametrize("level_db", [math.nan, math.inf, -math.inf, 1e6])
def test_what_is_no_level_is_refused_and_changes_nothing(level_db):
    series = Series(LevelTracker()).until(10).until(11, -70)
    with pytest.raises(ValueError, match="level"):
        series.tracker.add(at(11.1), level_db)
    with pytest.raises(ValueError, match="level"):
        series.tracker.add(at(11.1), -80.0, quiet_db=level_db)
    assert seconds(series.until(12).spans[0]) == pytest.approx((10.0, 11.0))


steps = st.tuples(
    st.floats(-5, 5) | st.floats(0.01, 0.4), st.floats(-120, -40), st.none() | st.floats(-120, -90)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=300), st.sampled_from(["burst", "continuous"]))
def test_spans_are_in_order_apart_and_never_longer_than_allowed(series, mode):
    tracker = LevelTracker(mode=mode, max_duration_s=2, window_s=2, min_duration_s=0.1)
    now_ns, spans, runs = START, [], []
    for step_s, level_db, quiet_db in series:
        now_ns += round(step_s * NS_PER_S)
        spans += tracker.add(now_ns, level_db, quiet_db=quiet_db)
        runs.append(tracker.listening_since_ns)
        until_ns = tracker.listened_until_ns
        assert until_ns is None or runs[-1] <= until_ns <= now_ns
    spans += tracker.flush()
    for span in spans:
        assert 0.0 < span.duration_s <= 2.0
        assert span.is_too_short == (span.duration_s < 0.1)
        assert math.isfinite(span.level_db)
        assert -120.2 <= span.level_db <= -39.9
    if all(step_s > 0 for step_s, _, _ in series):
        for before, after in pairwise(spans):
            assert before.end_utc_ns <= after.start_utc_ns
