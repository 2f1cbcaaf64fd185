from __future__ import annotations

import librosa
import numpy as np
import pytest

from heimdall_edge.signal.stft import Stft, band_columns, hann

RNG = np.random.default_rng(7)


def noise(n: int, power: float = 1.0) -> np.ndarray:
    pairs = RNG.standard_normal((n, 2), np.float32) * np.float32(np.sqrt(power / 2))
    return pairs.view(np.complex64)[:, 0]


def test_the_columns_are_those_of_a_shifted_transform_of_the_windowed_frames() -> None:
    iq, window = noise(1000), hann(64)
    density = Stft(window, 48).power_density(iq)
    for row in range(Stft(window, 48).n_frames(1000)):
        frame = iq[row * 48 : row * 48 + 64].astype(np.complex128) * window
        expected = np.abs(np.fft.fftshift(np.fft.fft(frame))) ** 2 / np.sum(window**2)
        np.testing.assert_allclose(density[row], expected, rtol=1e-3, atol=1e-5)


def test_rows_are_transformed_as_each_alone() -> None:
    iq = noise(3 * 200).reshape(3, 200)
    stft = Stft(hann(20))
    together = stft.power_density(iq)
    assert together.shape == (3, 19, 20)
    for row, density in zip(iq, together, strict=True):
        np.testing.assert_array_equal(density, stft.power_density(row))
    assert stft.power_density(iq[:, :19]).shape == (3, 0, 20)


def test_the_positive_side_of_a_real_signal_equals_librosas_spectrogram() -> None:
    real, window = RNG.standard_normal(4096).astype(np.float32), hann(256)
    density = Stft(window, 64).power_density(real.astype(np.complex64))
    theirs = np.abs(librosa.stft(real, n_fft=256, hop_length=64, center=False)) ** 2
    ours = density[:, 128:].T * np.sum(window**2)
    np.testing.assert_allclose(ours, theirs[:128], rtol=1e-3, atol=1e-3)


def test_white_noise_reads_its_power_in_every_column() -> None:
    density = Stft(hann(32)).mean_power_density(noise(400_000, power=0.25))
    np.testing.assert_allclose(density, 0.25, rtol=0.03)


@pytest.mark.parametrize("n_fft", [16, 18, 64])
def test_a_tone_sums_to_its_power_over_the_columns(n_fft: int) -> None:
    tone = np.exp(2j * np.pi * 0.131 * np.arange(4096)).astype(np.complex64)
    density = Stft(hann(n_fft)).mean_power_density(tone)
    assert density.mean() == pytest.approx(1.0, rel=1e-4)


def test_the_mean_over_a_long_signal_is_the_mean_of_its_frames() -> None:
    iq = noise(1_200_000)
    whole = Stft(hann(64), 32).power_density(iq)
    parts = Stft(hann(64)).mean_power_density(iq)
    np.testing.assert_allclose(parts, whole.mean(axis=0, dtype=np.float64), rtol=1e-5)


def test_a_signal_shorter_than_a_frame_has_no_frame() -> None:
    assert Stft(hann(16), 8).power_density(noise(15)).shape == (0, 16)
    assert Stft(hann(16)).n_frames(0) == 0


def test_samples_that_are_not_finite_give_density_that_is_not_finite_without_a_warning() -> None:
    iq = noise(64)
    iq[3], iq[40] = np.nan, 1e30
    density = Stft(hann(16), 8).power_density(iq)
    assert not np.isfinite(density[0]).any()
    assert np.isfinite(density[1:3]).all()


@pytest.mark.parametrize(
    ("bandwidth_hz", "expected"),
    [(10_000, slice(3, 14)), (9_999, slice(4, 13)), (16_000, slice(0, 16)), (99_000, slice(0, 16))],
)
def test_the_band_holds_the_columns_within_half_its_width(
    bandwidth_hz: float, expected: slice
) -> None:
    columns = band_columns(16, 16_000.0, bandwidth_hz)
    assert columns == expected
    centers_hz = np.fft.fftshift(np.fft.fftfreq(16, 1 / 16_000))
    inside = np.abs(centers_hz) <= bandwidth_hz / 2
    np.testing.assert_array_equal(np.flatnonzero(inside), np.arange(16)[columns])
