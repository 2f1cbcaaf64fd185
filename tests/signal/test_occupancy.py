from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import jv

from heimdall_edge.signal.occupancy import ChannelSpectrum, Occupancy, occupancy

RATE_HZ = 16_000.0
BANDWIDTH_HZ = 12_500.0


def noise(rng: np.random.Generator, n: int, power: float) -> np.ndarray:
    iq = rng.standard_normal((n, 2), np.float32) * np.float32(math.sqrt(power / 2))
    return iq.view(np.complex64)[:, 0]


def band_noise(rng: np.random.Generator, n: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Noise of power 1 that fills a band evenly."""
    spectrum = np.fft.fft(noise(rng, n, 1.0))
    frequency_hz = np.fft.fftfreq(n, 1 / RATE_HZ)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    iq = np.fft.ifft(spectrum)
    return (iq / np.sqrt(np.mean(np.abs(iq) ** 2))).astype(np.complex64)


def measured(iq: np.ndarray, noise_power: float) -> Occupancy | None:
    spectrum = ChannelSpectrum.of(iq, sample_rate_hz=RATE_HZ, bandwidth_hz=BANDWIDTH_HZ)
    return occupancy(spectrum, noise_power=noise_power * BANDWIDTH_HZ / RATE_HZ)


def test_an_even_band_takes_up_99_percent_of_its_width() -> None:
    iq = band_noise(np.random.default_rng(1), 16_000, -1_000, 5_000)
    occupied = measured(iq, 0.0)
    assert occupied is not None
    assert occupied.bandwidth_hz == pytest.approx(0.99 * 6_000, rel=0.03)
    assert occupied.centroid_hz == pytest.approx(2_000, abs=60)


@pytest.mark.parametrize("snr_db", [10, 20, 40])
def test_noise_does_not_widen_it(snr_db: float) -> None:
    rng = np.random.default_rng(2)
    power = 10 ** (-snr_db / 10)
    iq = band_noise(rng, 8_000, 1_000, 4_000) + noise(rng, 8_000, power)
    occupied = measured(iq, power)
    assert occupied is not None
    assert occupied.bandwidth_hz == pytest.approx(0.99 * 3_000, rel=0.06)
    assert occupied.centroid_hz == pytest.approx(2_500, abs=80)


def test_frequency_modulation_takes_up_what_its_bessel_lines_say() -> None:
    index, tone_hz = 2.4, 1_000.0
    t = np.arange(16_000) / RATE_HZ
    iq = np.exp(1j * index * np.sin(2 * np.pi * tone_hz * t)).astype(np.complex64)
    lines = jv(np.arange(8), index) ** 2
    held = lines[0] + 2 * np.cumsum(lines[1:])
    outermost = 1 + int(np.searchsorted(held, 0.99))
    occupied = measured(iq, 0.0)
    assert occupied is not None
    assert occupied.bandwidth_hz == pytest.approx(2 * outermost * tone_hz, abs=400)
    assert occupied.centroid_hz == pytest.approx(0.0, abs=5)


@pytest.mark.parametrize("offset_hz", [-4_000.0, 12.3, 613.0])
def test_the_offset_of_a_carrier_is_found_between_the_columns(offset_hz: float) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(8_000) / RATE_HZ
    iq = np.exp(2j * np.pi * offset_hz * t).astype(np.complex64) + noise(rng, 8_000, 0.01)
    occupied = measured(iq, 0.01)
    assert occupied is not None
    assert occupied.centroid_hz == pytest.approx(offset_hz, abs=5)
    assert occupied.bandwidth_hz < 400


def test_noise_alone_occupies_nothing() -> None:
    rng = np.random.default_rng(4)
    assert [measured(noise(rng, 8_000, 1e-4), 1e-4) for _ in range(20)] == [None] * 20


def test_silence_occupies_nothing() -> None:
    assert measured(np.zeros(1_000, np.complex64), 1e-15) is None


def test_the_share_in_the_channel_leaves_out_what_lies_beside_it() -> None:
    t = np.arange(8_000) / RATE_HZ
    iq = np.exp(2j * np.pi * 1_000 * t) + np.exp(2j * np.pi * 7_500 * t)
    spectrum = ChannelSpectrum.of(
        iq.astype(np.complex64), sample_rate_hz=RATE_HZ, bandwidth_hz=BANDWIDTH_HZ
    )
    assert spectrum.share_in_channel == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("n_samples", [16, 17, 40, 200])
def test_a_short_burst_has_a_coarser_spectrum(n_samples: int) -> None:
    iq = np.exp(2j * np.pi * 0.1 * np.arange(n_samples)).astype(np.complex64)
    occupied = measured(iq, 1e-6)
    assert occupied is not None
    assert occupied.centroid_hz == pytest.approx(1_600, abs=60)
