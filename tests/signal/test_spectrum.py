from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.spectrum import (
    MIN_BINS,
    Spectrum,
    Window,
    chirp_z,
    unit_phasor,
    unit_ramp,
)
from heimdall_edge.types import IQSnippet
from tests.signal.emissions import START_UTC_NS, Emission, noise_like, snippet


def direct_sum(iq, turns, first_bin, n_bins):
    k = np.arange(first_bin, first_bin + n_bins)
    return np.exp(-2j * np.pi * turns * np.outer(k, np.arange(len(iq)))) @ iq


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 300),
    turns=st.floats(1e-4, 0.02),
    first_bin=st.integers(-200, 50),
    n_bins=st.integers(1, 300),
    seed=st.integers(0, 100),
)
def test_the_chirp_z_transform_is_the_sum_that_defines_it(n, turns, first_bin, n_bins, seed):
    rng = np.random.default_rng(seed)
    iq = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    expected = direct_sum(iq, turns, first_bin, n_bins)
    assert np.abs(chirp_z(iq, turns, first_bin, n_bins) - expected).max() < 3e-6 * n**0.5 * 20


def test_a_long_chirp_z_transform_keeps_its_precision():
    rng = np.random.default_rng(1)
    n = 120_000
    iq = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    bins = chirp_z(iq, 1 / n, -n // 2, n)
    expected = np.fft.fftshift(np.fft.fft(iq.astype(complex)))
    assert np.linalg.norm(bins - expected) < 2e-6 * np.linalg.norm(expected)


def test_whole_turns_are_nothing_however_many():
    assert unit_phasor(np.array([0.0, 1e9, -3.0])) == pytest.approx(1)
    assert unit_phasor(np.array([1e9 + 0.25])) == pytest.approx(1j)


@given(turns=st.floats(-2, 2), first=st.integers(-50_000, 50_000), n=st.integers(1, 2_000))
@settings(max_examples=40, deadline=None)
def test_a_ramp_of_phasors_is_each_phasor(turns, first, n):
    each = unit_phasor(turns * (first + np.arange(n)))
    assert np.abs(unit_ramp(turns, first, n) - each).max() < 1e-6


@pytest.mark.parametrize("n", [100, 128])
@pytest.mark.parametrize(("first_bin", "n_bins"), [(-64, 128), (-30, 17), (5, 100)])
def test_bins_of_a_plain_transform_are_those_of_the_sum(n, first_bin, n_bins):
    rng = np.random.default_rng(6)
    iq = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    expected = direct_sum(iq, 1 / 128, first_bin, n_bins)
    assert chirp_z(iq, 1 / 128, first_bin, n_bins) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("lower_by_hz", [0.0, 37.3])
def test_two_receivers_of_other_rate_and_begin_give_the_same_spectrum(lower_by_hz):
    rng = np.random.default_rng(2)
    emission = noise_like(rng)
    window = Window.of(START_UTC_NS + 20_000_000, 0.9, 15_000)
    one, other = (
        Spectrum.of(
            snippet(rng, emission, delay_s=0, snr_db=200, rate_hz=rate_hz, offset_hz=lower_by_hz),
            window,
            lower_by_hz=lower_by_hz,
        )
        for rate_hz in (15_625, 17_111)
    )
    inside = np.abs(window.bin_hz) < 4_900
    ratio = np.vdot(one.bins[inside], other.bins[inside])
    turned = other.bins[inside] * np.conj(ratio) / abs(ratio)
    error = np.linalg.norm(turned - one.bins[inside]) / np.linalg.norm(one.bins[inside])
    assert error < 2e-3  # one sample more or less under the ramps of the window


def test_all_bands_have_one_power_whatever_the_spectrum_s_slope():
    rng = np.random.default_rng(3)
    lines = noise_like(rng, bandwidth_hz=14_000)
    coloured = lines.lines * 10 ** (lines.hz / 14_000)  # 20 dB from edge to edge
    emission = Emission(coloured, lines.first, lines.period_s, 14_000)
    window = Window.of(START_UTC_NS + 20_000_000, 0.9, 14_000)
    bands = Spectrum.of(snippet(rng, emission, delay_s=0, snr_db=40), window).bands
    power = np.mean(np.abs(bands) ** 2, axis=1)
    assert power == pytest.approx(power.mean(), rel=0.15)  # the edges fall within a band


def test_a_carrier_is_left_out_and_leaves_the_rest_as_it_was():
    rng = np.random.default_rng(4)
    emission = noise_like(rng)
    kept = snippet(rng, emission, delay_s=0, snr_db=10)
    at_hz = 1_234.5
    tone = 3 * np.exp(2j * np.pi * at_hz / kept.sample_rate_hz * np.arange(len(kept.iq)))
    loud = IQSnippet((kept.iq + tone).astype(np.complex64), kept.sample_rate_hz, kept.start_utc_ns)
    window = Window.of(START_UTC_NS + 20_000_000, 0.9, 15_000)
    quiet, without = Spectrum.of(kept, window), Spectrum.of(loud, window)
    near = np.abs(window.bin_hz - at_hz) < 1
    assert not without.bins[near].any()
    assert np.abs(without.bins).max() < 8
    far = (np.abs(window.bin_hz - at_hz) > 260) & (np.abs(window.bin_hz) < 4_900)
    assert np.abs(without.bins - quiet.bins)[far].max() < 0.02


def test_bands_in_the_stop_band_of_the_channel_filter_are_silent():
    rng = np.random.default_rng(5)
    kept = snippet(rng, noise_like(rng, bandwidth_hz=5_000), delay_s=0, snr_db=80)
    window = Window.of(START_UTC_NS + 20_000_000, 0.9, 15_000)
    spectrum = Spectrum.of(kept, window)
    assert not spectrum.bins[np.abs(window.bin_hz) > 2_900].any()
    assert np.abs(spectrum.bins[np.abs(window.bin_hz) < 2_300]).min() > 0


def test_silence_gives_silence():
    window = Window.of(START_UTC_NS, 0.5, 10_000)
    silent = IQSnippet(np.zeros(5_000, np.complex64), 10_000.0, START_UTC_NS)
    assert not Spectrum.of(silent, window).bins.any()


def test_a_window_too_short_to_hold_a_coherence_is_refused():
    with pytest.raises(ValueError, match="holds 127 frequencies, expected 128 or more"):
        Window.of(0, 0.0127, 10_000)
    assert Window.of(0, 0.0128, 10_000).n_bins == MIN_BINS


@given(duration_s=st.floats(0.05, 20), rate_hz=st.floats(3_000, 30_000))
@settings(max_examples=50, deadline=None)
def test_a_window_s_frequencies_lie_within_the_slowest_receiver_s_band(duration_s, rate_hz):
    window = Window.of(0, duration_s, rate_hz)
    assert np.abs(window.bin_hz).max() <= rate_hz / 2 * (1 + 1e-12)
    assert window.n_bins > 0.5 * rate_hz * duration_s
    assert 0.9 * duration_s < window.duration_s <= duration_s
    assert np.allclose(np.diff(window.bin_hz), 1 / window.duration_s)
    assert window.band_hz == pytest.approx(window.bin_hz.reshape(window.n_bands, -1).mean(axis=1))
