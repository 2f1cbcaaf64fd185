from __future__ import annotations

import pytest

from heimdall_edge.signal.level_spans import LevelSpan, Stretch, mean_power, to_db, to_power

S = 1_000_000_000


def test_decibels_and_powers_are_each_other_s_inverse():
    assert to_power(-30.0) == pytest.approx(1e-3)
    assert to_db(to_power(-123.4)) == pytest.approx(-123.4)


def test_the_mean_is_over_time_and_only_within():
    stretches = [Stretch(0, 1 * S, 1.0), Stretch(1 * S, 4 * S, 2.0), Stretch(4 * S, 5 * S, 100.0)]
    assert mean_power(stretches, S // 2, 4 * S) == pytest.approx((0.5 * 1 + 3 * 2) / 3.5)


def test_a_span_tells_its_duration_and_the_signal_alone_over_the_noise():
    span = LevelSpan(0, 3 * S, level_db=-80.0, floor_db=-90.0)
    assert span.duration_s == 3.0
    assert span.snr_db == pytest.approx(10 * 0.9542425)
    assert LevelSpan(0, S, level_db=-95.0, floor_db=-90.0).snr_db == pytest.approx(-30)
