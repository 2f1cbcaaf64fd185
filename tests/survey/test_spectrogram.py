"""The wideband spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.survey.spectrogram import MAX_FFT, MAX_ROWS, MIN_FFT, Spectrogram

from .receivers import RATE_HZ, START_UTC_NS, samples


def spectrogram(narrowest_hz=12_500.0):
    return Spectrogram(sample_rate_hz=RATE_HZ, narrowest_hz=narrowest_hz)


def fed(iq, *, of=None, step=16_384, follows=True):
    of = of or spectrogram()
    for first in range(0, len(iq), step):
        of.feed(
            iq[first : first + step].astype(np.complex64),
            start_utc_ns=START_UTC_NS + round(first * 1e9 / RATE_HZ),
            follows=follows and first > 0,
        )
    return of


@pytest.mark.parametrize(("narrowest_hz", "n_fft"), [(12_500, MIN_FFT), (500, 4096), (1, MAX_FFT)])
def test_the_narrowest_channel_decides_on_the_resolution(narrowest_hz, n_fft):
    assert spectrogram(narrowest_hz).n_fft == n_fft


def test_a_tone_reads_its_own_level_and_stands_at_its_frequency():
    of = fed(samples(1.0, (0, 1, 31_250.0, -20.0), noise_dbfs=-90))
    assert 10 * np.log10(of.mean.max()) == pytest.approx(-20.0, abs=0.05)
    assert 10 * np.log10(of.peak.max()) == pytest.approx(-20.0, abs=0.05)
    column = int(np.argmax(of.mean))
    assert (column / of.n_fft - 0.5) * RATE_HZ == pytest.approx(31_250.0, abs=1)


def test_noise_is_told_apart_from_signals_that_come_and_go_and_those_that_stay():
    tones = [(0, 2, 1_000.0 * n, -20.0) for n in range(-40, 40, 10)]
    iq = samples(2.0, *tones, noise_dbfs=-45.0)
    iq[: len(iq) // 2] += samples(1.0, noise_dbfs=-10.0, seed=2)  # fills the band for half of it
    assert 10 * np.log10(fed(iq).noise_power) == pytest.approx(-45.0, abs=0.5)


@pytest.mark.parametrize("step", [300, 1_024, 5_000, 100_000])
def test_no_frame_is_lost_between_blocks(step):
    of = fed(samples(1.0), step=step)
    assert of.n_frames == 250_000 // 1_024
    assert of.waterfall().duration_s == pytest.approx(of.n_frames * of.frame_s, abs=of.frame_s)


def test_frames_do_not_reach_over_gaps():
    assert fed(samples(1.0), step=1_500, follows=False).n_frames == 250_000 // 1_500


def test_a_waterfall_shows_what_was_when():
    of = fed(samples(4.0, (1.0, 2.0, 50e3, -20.0)))
    fall = of.waterfall()
    assert fall.start_utc_ns == START_UTC_NS
    column = round((50e3 / RATE_HZ + 0.5) * fall.power.shape[1])
    is_on = fall.power[:, column] > 1e-3
    on_s = np.flatnonzero(is_on) * fall.row_ns / 1e9
    assert on_s.min() == pytest.approx(1.0, abs=0.01)
    assert on_s.max() == pytest.approx(2.0, abs=0.01)


def test_memory_does_not_grow_with_time():
    of = spectrogram()
    second = samples(1.0)
    for number in range(60):
        of.feed(
            second.astype(np.complex64),
            start_utc_ns=START_UTC_NS + number * 10**9,
            follows=number > 0,
        )
    fall = of.waterfall()
    assert MAX_ROWS / 2 < len(fall.power) <= 2 * MAX_ROWS
    assert fall.duration_s == pytest.approx(60.0, rel=0.01)
    assert fall.power.mean() == pytest.approx(fed(second).waterfall().power.mean(), rel=0.05)


def test_time_away_is_no_silence_but_nothing():
    of = fed(samples(0.5))
    of.feed(samples(0.5).astype(np.complex64), start_utc_ns=START_UTC_NS + 2 * 10**9, follows=False)
    fall = of.waterfall()
    gone = np.isnan(fall.power).all(axis=1)
    assert gone.sum() * fall.row_ns == pytest.approx(1.5e9, rel=0.02)


def test_a_stamp_that_goes_back_is_put_where_the_time_began():
    of = fed(samples(0.5))
    of.feed(samples(0.1).astype(np.complex64), start_utc_ns=START_UTC_NS - 10**12, follows=False)
    assert of.waterfall().duration_s == pytest.approx(0.5, abs=0.01)


def test_nothing_fed_is_an_empty_waterfall():
    fall = spectrogram().waterfall()
    assert fall.power.shape[0] == 0
    assert fall.duration_s == 0.0
    assert spectrogram().noise_power == 0.0
