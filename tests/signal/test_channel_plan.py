from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.channel_plan import (
    channel_decimation,
    channel_taps,
    check_fits,
    lies_within,
    plan_frames,
)
from heimdall_edge.types import ChannelSpec

RATES_HZ = st.sampled_from([12_001.03, 0.25e6, 1.024e6, 2.0e6, 2.048e6, 2.4e6, 3.2e6])
WIDTH_SHARES = st.floats(1 / 400, 0.98)


def gain(taps: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """The response of symmetric taps at frequencies in cycles a sample, by its definition."""
    n = np.arange(len(taps)) - len(taps) // 2
    return np.cos(2 * np.pi * np.outer(frequencies, n)) @ taps


@pytest.mark.parametrize(
    ("rate_hz", "width_hz", "expected"),
    [
        (2.4e6, 12_500, 150),
        (2.048e6, 12_500, 128),
        (1.024e6, 12_500, 64),
        (0.25e6, 12_500, 16),
        (3.2e6, 12_500, 200),
        (2.0e6, 1.8e6, 1),
        (12_001.03, 10_000, 1),
        (48_000, 12_800, 3),
    ],
)
def test_usual_receivers_share_an_output_rate_near_16_khz(rate_hz, width_hz, expected):
    assert channel_decimation(rate_hz, width_hz) == expected


@given(RATES_HZ, WIDTH_SHARES)
def test_a_channel_is_oversampled_by_a_quarter_and_not_much_more(rate_hz, share):
    divisor = channel_decimation(rate_hz, share * rate_hz)
    assert divisor == 1 or rate_hz / divisor >= 1.25 * share * rate_hz * (1 - 1.001e-3)
    assert rate_hz / divisor <= 2 * 1.25 * share * rate_hz


@given(st.sampled_from([1e3, 2.4e3, 3e3, 6e3]), st.floats(-20e-6, 20e-6))
def test_receivers_whose_rates_differ_by_ppm_decimate_alike(width_hz, deviation):
    assert channel_decimation(12e3 * (1 + deviation), width_hz) == channel_decimation(
        12e3, width_hz
    )


@settings(max_examples=15, deadline=None)
@given(RATES_HZ, st.floats(0.01, 0.98))
def test_the_filter_is_flat_to_a_thousandth_of_a_db_and_stops_at_94_db(rate_hz, share):
    taps = channel_taps(rate_hz, share * rate_hz)
    stop = min(1.25 * share, 1 / channel_decimation(rate_hz, share * rate_hz)) / 2
    in_band = gain(taps, np.linspace(0, share / 2, 100))
    assert np.abs(20 * np.log10(in_band)).max() < 1e-3
    out_of_band = gain(taps, np.linspace(stop, 0.5, 1000))
    assert 20 * np.log10(np.abs(out_of_band).max() + 1e-12) < -94


def test_the_filter_is_the_windowed_design_of_scipy():
    taps = channel_taps(0.25e6, 12_500)
    beta = scipy.signal.kaiser_beta(100)
    expected = scipy.signal.firwin(
        len(taps), (6_250 + 7_812.5) / 2, window=("kaiser", beta), fs=0.25e6
    )
    np.testing.assert_allclose(taps, expected, atol=1e-9)
    np.testing.assert_array_equal(taps, taps[::-1])


@settings(max_examples=50, deadline=None)
@given(
    RATES_HZ,
    st.integers(1, 6000),
    st.lists(st.sampled_from([1, 2, 3, 5, 8, 15, 25, 64, 75, 150]), min_size=1, max_size=3),
)
def test_frames_hold_whole_outputs_of_every_channel_and_spare_the_filter(rate_hz, reach, divisors):
    quantum = math.lcm(*divisors)
    plan = plan_frames(sample_rate_hz=rate_hz, half_length=reach, quantum=quantum)
    assert plan.margin >= reach
    assert plan.hop > 0
    for divisor in divisors:
        assert plan.n_fft % divisor == plan.margin % divisor == plan.hop % divisor == 0


def test_a_frame_of_narrow_channels_lasts_16_ms():
    half_length = len(channel_taps(2.4e6, 12_500)) // 2
    plan = plan_frames(sample_rate_hz=2.4e6, half_length=half_length, quantum=150)
    assert plan.n_fft / 2.4e6 == pytest.approx(16e-3)
    assert plan.n_fft / plan.hop < 1.36


@pytest.mark.parametrize("frequency_hz", [433.0e6 - 0.98e6 + 5e3, 433.0e6, 433.98e6 - 5e3])
def test_a_channel_within_the_band_fits(frequency_hz):
    channel = ChannelSpec("a", frequency_hz, 10e3)
    check_fits(channel, sample_rate_hz=2e6, center_freq_hz=433e6)


@pytest.mark.parametrize("frequency_hz", [433.0e6 - 0.98e6, 433.98e6, 434.5e6, 100.0, math.nan])
def test_a_channel_outside_the_band_is_refused_with_its_edges(frequency_hz):
    channel = ChannelSpec("link", frequency_hz, 10e3)
    with pytest.raises(ValueError, match=r"channel 'link' \(.*432020000\.0…433980000\.0 Hz"):
        check_fits(channel, sample_rate_hz=2e6, center_freq_hz=433e6)


@pytest.mark.parametrize(
    ("frequency_hz", "expected"),
    [(433e6, True), (433.975e6, True), (433.976e6, False), (432.025e6, True), (432.024e6, False)],
)
def test_a_channel_lies_within_the_band_up_to_its_edges(frequency_hz, expected):
    channel = ChannelSpec("link", frequency_hz, 10e3)
    assert lies_within(channel, sample_rate_hz=2e6, center_freq_hz=433e6) is expected


@pytest.mark.parametrize("width_hz", [100.0, 0.0, -5.0])
def test_a_channel_too_narrow_for_the_rate_is_refused(width_hz):
    with pytest.raises(ValueError, match=r"channel 'cw' is .* Hz wide; expected at least 244"):
        check_fits(ChannelSpec("cw", 433e6, width_hz), sample_rate_hz=2e6, center_freq_hz=433e6)


def test_a_channel_of_no_width_in_particular_is_refused():
    with pytest.raises(ValueError, match="channel 'nan'"):
        check_fits(ChannelSpec("nan", 433e6, math.nan), sample_rate_hz=2e6, center_freq_hz=433e6)
