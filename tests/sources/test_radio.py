"""A simulated receiver's imperfections."""

import math

import numpy as np
import pytest

from heimdall_edge.config_simulation import SimulatedReceiver
from heimdall_edge.sources.radio import Radio
from heimdall_edge.types import ClockSource, ClockState

IDEAL = {"dc_offset": 0.0, "iq_gain_imbalance_db": 0.0, "iq_phase_imbalance_deg": 0.0}


NO_CLOCK = ClockState()


def radio(*, seed=1, receiver_id="rx", gain_db=0.0, clock=NO_CLOCK, **settings):
    return Radio(
        settings=SimulatedReceiver(**{**IDEAL, **settings}),
        receiver_id=receiver_id,
        seed=seed,
        center_freq_hz=446e6,
        sample_rate_hz=250e3,
        gain_db=gain_db,
        clock=clock,
    )


def as_complex(samples):
    return (
        samples[0::2].astype(float) - 127.5 + 1j * (samples[1::2].astype(float) - 127.5)
    ) / 127.5


def tone(amplitude, cycles_per_sample, n):
    phase = 2 * np.pi * cycles_per_sample * np.arange(n)
    return (amplitude * np.stack([np.cos(phase), np.sin(phase)])).astype(np.float32)


# ── levels ──


def test_full_scale_at_the_antenna_is_an_amplitude_of_one():
    set_up = radio(full_scale_dbm=-30.0, gain_db=40.0)
    assert set_up.amplitude(np.array([-70.0, -90.0])) == pytest.approx([1.0, 0.1])
    off = radio(full_scale_dbm=-30.0, gain_db=40.0, antenna_offset_db=-6.0)
    assert off.amplitude(np.array([-64.0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "expected_dbm"),
    [
        # -173.98 dBm/Hz + 53.98 dB of 250 kHz + the receiver's figure.
        ({"noise_figure_db": 6.0, "man_made_noise_db": 0.0}, -173.975 + 53.979 + 6),
        ({"noise_figure_db": 0.0, "man_made_noise_db": 30.0}, -173.975 + 53.979 + 30),
        (
            {"noise_figure_db": 6.0, "man_made_noise_db": 10.0},
            -173.975 + 53.979 + 10 * math.log10(10**0.6 + 10**1.0 - 1),
        ),
        (
            {"noise_figure_db": 6.0, "man_made_noise_db": 10.0, "antenna_offset_db": -3.0},
            -173.975 + 53.979 + 10 * math.log10(10**0.6 + (10**1.0 - 1) * 10**-0.3),
        ),
    ],
)
def test_noise_is_thermal_and_external_and_the_receivers_own(settings, expected_dbm):
    set_up = radio(full_scale_dbm=-30.0, gain_db=40.0, **settings)
    assert set_up.noise_dbfs == pytest.approx(expected_dbm + 70, abs=1e-3)
    noise = set_up.noise(0, 200_000)
    measured = 10 * math.log10(2 * np.mean(noise.astype(np.float64) ** 2))
    assert measured == pytest.approx(expected_dbm + 70, abs=0.05)


def test_noise_is_white_and_circular_and_of_each_receiver_alone():
    n = 200_000
    planes = [radio().noise(0, n), radio().noise(1, n), radio(receiver_id="other").noise(0, n)]
    rows = np.concatenate(planes)
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 5 / math.sqrt(n)
    iq = rows[0] + 1j * rows[1]
    spectrum = np.abs(np.fft.fft(iq.reshape(-1, 1_000), axis=1)) ** 2
    assert spectrum.mean(axis=0) == pytest.approx(spectrum.mean(), rel=0.4)
    assert np.array_equal(planes[1], radio().noise(1, n))


# ── crystal and clock ──


def test_a_fast_crystal_tunes_high_and_samples_fast():
    set_up = radio(frequency_error_ppm=20.0)
    assert set_up.tuned_hz == pytest.approx(446e6 + 8_920)
    assert set_up.sample_rate_hz == pytest.approx(250_005)


@pytest.mark.parametrize(
    ("clock", "sigma_s"),
    [
        (NO_CLOCK, 30e-3),
        (ClockState(ClockSource.NTP), 3e-3),
        (ClockState(ClockSource.NTP, sigma_s=1e-3), 1e-3),
        (ClockState(ClockSource.GNSS, sigma_s=1e-7), 1e-7),
    ],
)
def test_the_error_of_the_stamps_goes_by_the_class_of_the_clock(clock, sigma_s):
    errors_s = np.array([radio(seed=s, clock=clock).clock_error_ns for s in range(400)]) / 1e9
    assert errors_s.std() == pytest.approx(sigma_s, rel=0.15)
    assert abs(errors_s.mean()) < 4 * sigma_s / 20


# ── converter ──


def test_values_are_rounded_to_steps_of_half_scale():
    planes = np.array([[0.004, -0.02, 0.5, 1.0, -1.0], [0.0039, 0.3, 0.25, -1, 1]], np.float32)
    expected = np.rint(127.5 + 127.5 * planes.astype(np.float64)).T.ravel()
    assert np.array_equal(radio().digitise(planes), expected)


def test_what_is_over_full_scale_is_clipped_and_can_be_counted():
    n = 100_000
    samples = radio().digitise(tone(1.25, 0.123_456_7, n))
    assert samples.min() == 0
    assert samples.max() == 255
    clipped = np.isin(samples, (0, 255)).mean()
    expected = 2 * math.acos(127 / 127.5 / 1.25) / math.pi  # rounds to the last step from 254.5
    assert clipped == pytest.approx(expected, abs=2e-3)


def test_rounding_adds_a_twelfth_of_a_step_squared():
    exact = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 100_000)).astype(np.float32)
    error = as_complex(radio().digitise(exact)) - (exact[0] + 1j * exact[1])
    step = 1 / 127.5
    assert np.mean(np.abs(error) ** 2) == pytest.approx(2 * step**2 / 12, rel=0.03)


def test_the_dc_spike_has_its_share_of_full_scale():
    planes = 0.05 * np.random.default_rng(1).standard_normal((2, 400_000)).astype(np.float32)
    mean = as_complex(radio(dc_offset=0.02).digitise(planes)).mean()
    assert abs(mean) == pytest.approx(0.02, abs=5e-4)


@pytest.mark.parametrize(("gain_db", "phase_deg"), [(1.0, 0.0), (0.0, 5.0), (0.8, 3.0)])
def test_imbalance_makes_the_image_of_the_closed_form(gain_db, phase_deg):
    n = 2**16
    settings = {"iq_gain_imbalance_db": gain_db, "iq_phase_imbalance_deg": phase_deg}
    spectrum = np.fft.fft(as_complex(radio(**settings).digitise(tone(0.9, 9_001 / n, n))))
    measured = abs(spectrum[-9_001]) / abs(spectrum[9_001])
    branch, phase = 10 ** (gain_db / 40), math.radians(phase_deg)
    image = abs(branch - np.exp(-1j * phase) / branch)
    assert measured == pytest.approx(image / abs(branch + np.exp(1j * phase) / branch), rel=0.01)
