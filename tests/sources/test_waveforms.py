"""What transmitters send."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.config_simulation import Transmitter
from heimdall_edge.sources.waveforms import (
    KEYING_EDGE,
    RAMP_S,
    SPEECH_RATE_HZ,
    SPEECH_SAMPLES,
    Schedule,
    modulation_of,
)


def transmitter(modulation, **settings):
    return Transmitter(
        name=settings.pop("name", "tx"),
        latitude_deg=45.0,
        longitude_deg=7.0,
        frequency_hz=446e6,
        modulation=modulation,
        **settings,
    )


def fourier_series(table, time_s):
    """The periodic, band-limited function that a table samples, at any instants."""
    lines = np.fft.rfft(table[:-1].astype(np.float64)) / SPEECH_SAMPLES
    strong = np.flatnonzero(np.abs(lines) > 1e-9 * np.abs(lines).max())
    turns = np.outer(time_s, strong) * (SPEECH_RATE_HZ / SPEECH_SAMPLES) % 1
    return 2 * (np.exp(2j * np.pi * turns) @ lines[strong]).real


# ── voice ──


@pytest.mark.parametrize("start_s", [0.0, 8.19, 1e5])
def test_the_phase_of_speech_is_the_fourier_series_at_any_instant(start_s):
    voice = modulation_of(transmitter("nfm", deviation_hz=2_500.0), seed=1)
    time_s = start_s + np.random.default_rng(1).uniform(0, 10, 15)
    expected = 2_500 * fourier_series(voice.integral_s, time_s)
    np.testing.assert_allclose(voice.phase_cycles(time_s), expected, atol=1e-4)


def test_the_phase_of_speech_is_the_integral_of_its_message():
    voice = modulation_of(transmitter("nfm", deviation_hz=2_500.0), seed=1)
    time_s = np.random.default_rng(2).uniform(0, 8, 15)
    step_s = 1e-5
    rise = fourier_series(voice.integral_s, time_s + step_s)
    rise -= fourier_series(voice.integral_s, time_s - step_s)
    np.testing.assert_allclose(
        rise / (2 * step_s), fourier_series(voice.message, time_s), atol=3e-3
    )


def test_speech_peaks_at_the_deviation_and_keeps_to_the_voice_band():
    voice = modulation_of(transmitter("nfm"), seed=3)
    assert np.abs(voice.message).max() == pytest.approx(1)
    power = np.abs(np.fft.rfft(voice.message[:-1])) ** 2
    frequency_hz = np.fft.rfftfreq(SPEECH_SAMPLES, 1 / SPEECH_RATE_HZ)
    inside = (frequency_hz > 240) & (frequency_hz < 3_000)
    assert power[~inside].sum() < 1e-9 * power.sum()


def test_speech_has_syllables():
    voice = modulation_of(transmitter("nfm"), seed=3)
    loudness = voice.message[:-1].reshape(-1, 2048).std(axis=1)  # of 64 ms each
    assert loudness.max() > 3 * loudness.min()


def test_voice_fm_fills_its_channel_and_no_more():
    voice = modulation_of(transmitter("nfm", deviation_hz=2_500.0), seed=1)
    rate_hz, n = 50_000.0, 2**18
    iq = np.exp(2j * np.pi * voice.phase_cycles(np.arange(n) / rate_hz).astype(np.float64))
    power = np.abs(np.fft.fft(iq)) ** 2
    frequency_hz = np.abs(np.fft.fftfreq(n, 1 / rate_hz))
    share = [power[frequency_hz < half_hz].sum() / power.sum() for half_hz in (1_000, 6_250)]
    assert share[0] < 0.9
    assert share[1] > 0.999


def test_two_speakers_say_different_things_and_one_says_the_same_again():
    a, again, b = (modulation_of(transmitter("nfm", name=n), seed=1) for n in ("a", "a", "b"))
    other_seed = modulation_of(transmitter("nfm", name="a"), seed=2)
    assert np.array_equal(a.message, again.message)
    assert abs(np.corrcoef(a.message, b.message)[0, 1]) < 0.05
    assert abs(np.corrcoef(a.message, other_seed.message)[0, 1]) < 0.05


# ── keying and carrier ──


def test_keying_is_the_symbol_after_its_edge_and_continuous_within():
    keying = modulation_of(transmitter("ook", symbol_rate_hz=2_000.0), seed=1)
    numbers = np.arange(5_000)
    settled = keying.amplitude((numbers + (1 + KEYING_EDGE) / 2) / 2_000)
    assert np.array_equal(settled, keying.symbols[1:5_001])
    assert 0.45 < settled.mean() < 0.55
    fine = keying.amplitude(np.arange(0, 0.5, 1e-6))
    assert np.abs(np.diff(fine)).max() < 1.01 * np.pi / 2 * 1e-6 * 2_000 / KEYING_EDGE
    assert fine.min() >= 0
    assert fine.max() <= 1


def test_a_carrier_and_keying_leave_the_phase_and_voice_leaves_the_amplitude():
    time_s = np.array([0.0, 1.0])
    assert modulation_of(transmitter("cw"), seed=1).phase_cycles(time_s) == 0
    assert modulation_of(transmitter("cw"), seed=1).amplitude(time_s) == 1
    assert modulation_of(transmitter("ook"), seed=1).phase_cycles(time_s) == 0
    assert modulation_of(transmitter("nfm"), seed=1).amplitude(time_s) == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.randoms())
def test_any_order_of_instants_gives_the_same_answers(times, random):
    time_s = np.array(times)
    order = random.sample(range(len(times)), len(times))
    voice = modulation_of(transmitter("nfm"), seed=1)
    keying = modulation_of(transmitter("ook"), seed=1)
    assert np.array_equal(voice.phase_cycles(time_s)[order], voice.phase_cycles(time_s[order]))
    assert np.array_equal(keying.amplitude(time_s)[order], keying.amplitude(time_s[order]))


# ── schedule ──


def test_a_schedule_numbers_its_transmissions():
    schedule = Schedule(first_on_s=1.0, on_s=2.0, off_s=3.0)
    assert list(islice(schedule.transmissions(), 2)) == [(0, 1.0, 3.0), (1, 6.0, 8.0)]
    assert next(schedule.transmissions(7.9)) == (1, 6.0, 8.0)
    assert next(schedule.transmissions(8.0)) == (2, 11.0, 13.0)


def test_a_transmitter_that_is_never_silent_has_one_transmission_for_ever():
    schedule = Schedule(first_on_s=1.0, on_s=2.0, off_s=0.0)
    assert list(schedule.transmissions(1e6)) == [(0, 1.0, math.inf)]
    assert schedule.amplitude(np.array([0.5, 1.5, 100.0])) == pytest.approx([0, 1, 1])


@pytest.mark.parametrize("number", [0, 1, 1000])
def test_power_rises_and_falls_within_the_time_on(number):
    schedule = Schedule(first_on_s=1.0, on_s=2.0, off_s=3.0)
    start_s = 1.0 + 5 * number
    offset_s = np.array([-1e-6, 0, RAMP_S / 2, RAMP_S, 1.0, 2 - RAMP_S, 2 - RAMP_S / 2, 2.0, 2.5])
    expected = [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]
    assert schedule.amplitude(start_s + offset_s) == pytest.approx(expected, abs=1e-5)


def test_a_plateau_needs_no_array():
    schedule = Schedule(first_on_s=1.0, on_s=2.0, off_s=3.0)
    assert schedule.amplitude(np.linspace(1.01, 2.99, 10)) == 1.0


def test_before_its_first_transmission_it_is_silent():
    schedule = Schedule(first_on_s=1.0, on_s=2.0, off_s=3.0)
    assert not schedule.amplitude(np.linspace(-4.5, 0.99, 100)).any()
    assert not schedule.is_on_within(-4.0, 1.0)
    assert schedule.is_on_within(-4.0, 1.1)
    assert not schedule.is_on_within(3.0, 6.0)
    assert schedule.is_on_within(2.9, 3.1)
