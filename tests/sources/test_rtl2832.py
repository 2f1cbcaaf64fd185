"""What an RTL2832U can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.rtl2832 import (
    RATE_RANGES_HZ,
    TUNERS,
    nearest_gain_db,
    rate_is_possible,
    rate_problem,
    real_rate_hz,
)


@pytest.mark.parametrize(
    ("asked_hz", "real_hz"),
    [
        (250_000, 250_000.000414),
        (1_024_000, 1_024_000.0),
        (1_200_000, 1_200_000.0),
        (2_000_000, 2_000_000.052982),
        (2_048_000, 2_048_000.0),
        (2_400_000, 2_400_000.0),
        (3_200_000, 3_200_000.0),
    ],
)
def test_the_real_rate_is_what_the_divider_makes(asked_hz, real_hz):
    assert real_rate_hz(asked_hz) == pytest.approx(real_hz, abs=1e-5)


@given(st.sampled_from(RATE_RANGES_HZ).flatmap(lambda ends: st.integers(*ends)))
def test_the_real_rate_is_within_two_ppm_of_what_was_asked_for(rate_hz):
    assert real_rate_hz(rate_hz) == pytest.approx(rate_hz, rel=2e-6)


@pytest.mark.parametrize("rate_hz", [0, 225_000, 300_001, 900_000, 3_200_001, 1e12])
def test_a_rate_that_the_chip_cannot_do_is_refused_with_those_that_it_can(rate_hz):
    assert not rate_is_possible(rate_hz)
    assert "225.001–300 or 900.001–3200 kHz" in rate_problem(rate_hz)
    with pytest.raises(ValueError, match="an RTL2832U does"):
        real_rate_hz(rate_hz)


@pytest.mark.parametrize(
    ("asked_db", "step_db"),
    [(-5, 0.0), (0.44, 0.0), (0.46, 0.9), (28.0, 28.0), (28.9, 29.7), (99, 49.6)],
)
def test_the_nearest_gain_step_is_taken(asked_db, step_db):
    assert nearest_gain_db(asked_db, TUNERS[5].gain_steps_tenth_db) == step_db


def test_of_two_steps_as_near_the_lower_is_taken():
    assert nearest_gain_db(1.0, (0, 20)) == 0.0


def test_a_tuner_without_steps_has_no_gain():
    assert nearest_gain_db(20.0, TUNERS[4].gain_steps_tenth_db) is None


def test_gain_steps_rise_and_are_as_many_as_rtl_tcp_says():
    told = {0: 0, 1: 14, 2: 5, 3: 23, 4: 0, 5: 29, 6: 29}
    for number, tuner in TUNERS.items():
        assert len(tuner.gain_steps_tenth_db) == told[number]
        assert list(tuner.gain_steps_tenth_db) == sorted(set(tuner.gain_steps_tenth_db))
