"""A transmitter's signal at a receiver."""

import math

import numpy as np
import pytest

from heimdall_edge.config_simulation import (
    Propagation,
    SimulatedReceiver,
    TrackPoint,
    Transmitter,
)
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.sources.propagation import Path, Shadowing, Track
from heimdall_edge.sources.radio import Radio
from heimdall_edge.sources.reception import SEGMENT_SAMPLES, Reception
from heimdall_edge.sources.waveforms import modulation_of
from heimdall_edge.types import ClockState, Place

RECEIVER = Place(45.0, 7.6)
RATE_HZ = 250e3
CENTER_HZ = 446e6
N = 65_536


def reception(*, ppm=0.0, delay=True, **settings):
    if "track" not in settings:
        settings = {"latitude_deg": 45.05, "longitude_deg": 7.7, **settings}
    sender = Transmitter(
        **{
            "name": "tx",
            "frequency_hz": CENTER_HZ + 20e3,
            "antenna_height_m": 0.0,
            "first_on_s": 0.0,
            "off_s": 0.0,
            "modulation": "cw",
            **settings,
        }
    )
    air = Propagation(shadowing_sigma_db=0.0, delay=delay)
    return Reception(
        transmitter=sender,
        modulation=modulation_of(sender, seed=1),
        path=Path(
            transmitter=sender,
            track=Track.of(sender),
            receiver=RECEIVER,
            propagation=air,
            shadowing=Shadowing(seed=1, correlation_m=100.0, frame=LocalFrame(RECEIVER)),
        ),
        radio=Radio(
            settings=SimulatedReceiver(full_scale_dbm=-60.0, frequency_error_ppm=ppm),
            receiver_id="rx",
            seed=1,
            center_freq_hz=CENTER_HZ,
            sample_rate_hz=RATE_HZ,
            gain_db=0.0,
            clock=ClockState(),
        ),
    )


def received(signal, *, first_sample=N, n_samples=N):
    planes = np.zeros((2, n_samples), np.float32)
    signal.add_to(planes, first_sample=first_sample)
    return planes[0] + 1j * planes[1].astype(np.complex128)


def frequency_hz(iq, rate_hz=RATE_HZ):
    """Of a tone, by the slope of its phase."""
    return np.polyfit(np.arange(len(iq)), np.unwrap(np.angle(iq)), 1)[0] * rate_hz / (2 * np.pi)


def test_a_carrier_has_the_phase_of_its_path_and_the_amplitude_of_its_level():
    iq = received(reception())
    delay_s = float(distance_m(45.0, 7.6, 45.05, 7.7)) / 299_792_458
    time_s = (N + np.arange(N)) / RATE_HZ
    turns = 20e3 * time_s - ((CENTER_HZ + 20e3) * delay_s) % 1
    loss_db = 20 * math.log10(4 * math.pi * (CENTER_HZ + 20e3) / 299_792_458)
    level_dbm = 30 - loss_db - 30 * math.log10(delay_s * 299_792_458)
    expected = 10 ** ((level_dbm + 60) / 20) * np.exp(2j * np.pi * turns)
    assert np.abs(iq - expected).max() < 1e-4 * np.abs(expected[0])


def test_the_delay_of_a_modulated_signal_is_exact_to_a_ten_thousandth_of_a_sample():
    burst = {"first_on_s": 0.05, "on_s": 0.15, "off_s": 9.0, "modulation": "ook"}
    late, prompt = (
        np.fft.fft(received(reception(delay=d, frequency_hz=CENTER_HZ, **burst), first_sample=0))
        for d in (True, False)
    )
    expected = float(distance_m(45.0, 7.6, 45.05, 7.7)) / 299_792_458 * RATE_HZ
    frequency = np.fft.fftfreq(N)
    back = late * np.conj(prompt) * np.exp(2j * np.pi * frequency * expected)
    back *= np.exp(-1j * np.angle(back[0]))
    slope = (frequency * back.imag).sum() / (frequency**2 * np.abs(back)).sum()
    assert abs(slope / (2 * np.pi)) < 1e-4


def test_a_transmitter_that_drives_away_is_low_by_its_doppler_shift_and_grows_weaker():
    away = tuple(
        TrackPoint(at_s=t, latitude_deg=45.0 + 0.001 * t, longitude_deg=7.6) for t in (10.0, 20.0)
    )
    iq = received(reception(track=away), first_sample=round(15 * RATE_HZ))
    speed_m_s = float(distance_m(45.0, 7.6, 45.01, 7.6)) / 10
    shift_hz = -(CENTER_HZ + 20e3) * speed_m_s / 299_792_458
    assert frequency_hz(iq) == pytest.approx(20e3 + shift_hz, abs=0.05)
    still_m = float(distance_m(45.0, 7.6, 45.015, 7.6))
    fall = (1 + speed_m_s * N / RATE_HZ / still_m) ** -1.5  # amplitude, exponent 3
    assert abs(iq[-1]) / abs(iq[0]) == pytest.approx(fall, rel=1e-3)


def test_a_moving_signal_has_no_steps_between_segments_and_chunks():
    past = tuple(
        TrackPoint(at_s=10.0 * i, latitude_deg=44.9999, longitude_deg=7.59 + 0.02 * i)
        for i in (0, 1)
    )
    signal = reception(track=past)  # 157 m/s, passing at 11 m in the middle
    first = round(5 * RATE_HZ) // SEGMENT_SAMPLES * SEGMENT_SAMPLES - 2 * N
    whole = received(signal, first_sample=first, n_samples=4 * N)
    chunks = [received(signal, first_sample=first + i * N) for i in range(4)]
    assert np.array_equal(whole, np.concatenate(chunks))
    turn = np.angle(whole[1:] * np.conj(whole[:-1]))
    assert np.abs(np.diff(turn)).max() < 0.01


def test_a_crystal_that_is_fast_hears_it_low():
    iq = received(reception(ppm=10.0))
    expected_hz = (20e3 - 10e-6 * CENTER_HZ) / (1 + 10e-6)
    assert frequency_hz(iq) == pytest.approx(expected_hz, abs=0.05)


def test_nothing_is_added_while_it_is_silent():
    signal = reception(first_on_s=1.0, on_s=1.0, off_s=8.0)
    assert not received(signal, first_sample=0).any()
    on = np.abs(received(signal, first_sample=0, n_samples=round(3 * RATE_HZ))) > 0
    delay = float(distance_m(45.0, 7.6, 45.05, 7.7)) / 299_792_458 * RATE_HZ
    edges = np.flatnonzero(np.diff(on.astype(int)))
    assert edges == pytest.approx([RATE_HZ + delay, 2 * RATE_HZ + delay], abs=3)


@pytest.mark.parametrize(("offset_hz", "is_in_band"), [(124e3, True), (-126e3, False)])
def test_a_carrier_outside_the_sampled_band_is_not_received(offset_hz, is_in_band):
    assert reception(frequency_hz=CENTER_HZ + offset_hz).is_in_band == is_in_band
