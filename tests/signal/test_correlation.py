from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.correlation import PairDelay, pair_delay, tuned
from heimdall_edge.signal.spectrum import Spectrum
from tests.signal.emissions import (
    Emission,
    carrier,
    dcf77_like,
    noise_like,
    pair_bound_s,
    spectra,
    voice_like,
)

MAX_DELAY_S = 3e-4


def measured(rng, emission, delay_s, *, max_offset_hz=0.0, max_delay_s=MAX_DELAY_S, **how):
    late, early = spectra(rng, emission, delay_s, **how)
    late = tuned(late, early, max_delay_s=max_delay_s, max_offset_hz=max_offset_hz)
    return pair_delay(late, early, max_delay_s=max_delay_s)


@settings(max_examples=30, deadline=None)
@given(delay_s=st.floats(-2.8e-4, 2.8e-4), seed=st.integers(0, 1000))
def test_any_fraction_of_a_sample_is_found_within_its_sigma(delay_s, seed):
    rng = np.random.default_rng(seed)
    pair = measured(rng, noise_like(rng), delay_s, snr_db=30)
    assert pair.delay_s == pytest.approx(delay_s, abs=5.5 * pair.sigma_s)
    assert pair.sigma_s < 5e-8  # 1/1300 of a sample


def test_swapped_receivers_give_the_opposite_delay():
    rng = np.random.default_rng(1)
    late, early = spectra(rng, noise_like(rng), 1e-4)
    forth = pair_delay(late, early, max_delay_s=MAX_DELAY_S)
    back = pair_delay(early, late, max_delay_s=MAX_DELAY_S)
    assert back.delay_s == pytest.approx(-forth.delay_s, abs=forth.sigma_s / 50)
    assert back.sigma_s == pytest.approx(forth.sigma_s, rel=1e-3)


def test_for_flat_noise_the_bound_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    gamma = 10.0**2 / (1 + 2 * 10.0)
    textbook_s = np.sqrt(3 / (2 * np.pi**2 * 10_000**3 * 1.0 * gamma))
    assert pair_bound_s(noise_like(rng), (10, 10)) == pytest.approx(textbook_s, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "snr_db", "duration_s"),
    [
        (noise_like, 0, 0.5),
        (noise_like, 10, 0.2),
        (noise_like, 30, 0.5),
        (voice_like, 15, 1.0),
        (dcf77_like, 25, 2.0),
    ],
)
def test_the_error_is_near_the_bound_and_the_sigma_is_true(kind, snr_db, duration_s):
    rng = np.random.default_rng(7)
    in_bounds, in_sigmas = [], []
    for _ in range(4):
        emission = kind(rng)
        bound_s = pair_bound_s(emission, (snr_db, snr_db), duration_s=duration_s - 0.02)
        for _ in range(10):
            delay_s = rng.uniform(-7e-5, 7e-5)
            pair = measured(rng, emission, delay_s, snr_db=snr_db, duration_s=duration_s)
            in_bounds.append((pair.delay_s - delay_s) / bound_s)
            in_sigmas.append((pair.delay_s - delay_s) / pair.sigma_s)
    assert np.sqrt(np.mean(np.square(in_bounds))) < 1.3
    # The rms of 40 normal deviates lies within these in 998 of 1000 trials.
    assert 0.65 < np.sqrt(np.mean(np.square(in_sigmas))) < 1.36


def test_a_difference_in_frequency_is_found_and_taken_out():
    rng = np.random.default_rng(3)
    emission = voice_like(rng)
    late, early = spectra(rng, emission, 5e-5, offset_hz=63.21)
    assert pair_delay(late, early, max_delay_s=MAX_DELAY_S) is None
    late = tuned(late, early, max_delay_s=MAX_DELAY_S, max_offset_hz=100)
    assert late.lowered_by_hz == pytest.approx(63.21, abs=0.05)
    pair = pair_delay(late, early, max_delay_s=MAX_DELAY_S)
    assert pair.delay_s == pytest.approx(5e-5, abs=4 * pair.sigma_s)
    without = measured(np.random.default_rng(3), emission, 5e-5)
    assert pair.sigma_s == pytest.approx(without.sigma_s, rel=0.3)


@pytest.mark.parametrize("offset_hz", [0.05, 0.09])
def test_a_tenth_of_a_cycle_in_the_window_does_not_pull_the_delay_of_a_strong_signal(offset_hz):
    rng = np.random.default_rng(13)
    in_sigmas = []
    for _ in range(8):
        pair = measured(rng, voice_like(rng), 5e-5, snr_db=25, offset_hz=offset_hz, max_offset_hz=9)
        in_sigmas.append((pair.delay_s - 5e-5) / pair.sigma_s)
    # 8 normal deviates have an rms below this in 998 of 1000 trials.
    assert np.sqrt(np.mean(np.square(in_sigmas))) < 1.76


def test_a_weak_signal_at_one_frequency_is_left_as_it_is():
    rng = np.random.default_rng(14)
    late, early = spectra(rng, noise_like(rng), 5e-5, snr_db=-3)
    assert tuned(late, early, max_delay_s=MAX_DELAY_S, max_offset_hz=50) is late


def test_noise_alone_has_no_delay():
    rng = np.random.default_rng(5)
    for _ in range(20):
        late, _ = spectra(rng, noise_like(rng), 0.0, snr_db=10)
        _, early = spectra(rng, noise_like(rng), 0.0, snr_db=10)
        assert pair_delay(late, early, max_delay_s=MAX_DELAY_S) is None
    late = tuned(late, early, max_delay_s=MAX_DELAY_S, max_offset_hz=50)
    assert pair_delay(late, early, max_delay_s=MAX_DELAY_S) is None


def test_a_carrier_alone_has_no_delay():
    rng = np.random.default_rng(6)
    for snr_db in (0, 20, 60):
        assert measured(rng, carrier(rng), 5e-5, snr_db=snr_db) is None


def test_a_carrier_beside_the_signal_does_not_hide_it():
    rng = np.random.default_rng(8)
    emission = noise_like(rng)
    lines = emission.lines.copy()
    lines[len(lines) // 2 + 700] += 30  # 30 dB over all the rest together
    loud = Emission(lines / 30, emission.first, emission.period_s, emission.bandwidth_hz)
    pair = measured(rng, loud, 6e-5, snr_db=40)
    assert pair.delay_s == pytest.approx(6e-5, abs=4 * pair.sigma_s)
    assert pair.sigma_s < 1e-6


def test_a_signal_that_repeats_within_the_range_is_ambiguous():
    rng = np.random.default_rng(9)
    once = noise_like(rng, period_s=2.0)
    comb = np.where(once.hz % 5_000 < 20, once.lines, 0)  # every 200 µs, all but the same
    repeating = Emission(
        comb / np.sqrt(np.sum(np.abs(comb) ** 2)), once.first, once.period_s, once.bandwidth_hz
    )
    assert measured(rng, repeating, 2e-5, snr_db=25) is None


def test_a_delay_outside_the_range_is_not_found():
    rng = np.random.default_rng(10)
    assert measured(rng, noise_like(rng), 8e-4) is None


def test_an_echo_of_half_the_strength_leaves_a_delay_between_the_two_paths():
    rng = np.random.default_rng(11)
    direct = noise_like(rng)
    echo = direct.lines * (1 + 0.5 * np.exp(-2j * np.pi * direct.hz * 1e-5))
    late, _ = spectra(rng, Emission(echo, direct.first, direct.period_s, 1e4), 5e-5, snr_db=30)
    _, early = spectra(rng, direct, 0, snr_db=30)
    early = Spectrum.of(early.snippet, late.window)
    pair = pair_delay(late, early, max_delay_s=MAX_DELAY_S)
    assert 5e-5 < pair.delay_s < 6e-5


def test_silence_has_no_delay():
    rng = np.random.default_rng(12)
    late, early = spectra(rng, noise_like(rng), 0.0)
    silent = Spectrum(early.snippet, early.window, np.zeros_like(early.bins))
    assert tuned(late, silent, max_delay_s=MAX_DELAY_S, max_offset_hz=10) is late
    assert pair_delay(late, silent, max_delay_s=MAX_DELAY_S) is None


def test_a_pair_says_seconds():
    assert PairDelay(1e-5, 1e-7) == PairDelay(delay_s=1e-5, sigma_s=1e-7)
