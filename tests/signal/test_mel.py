from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import librosa
import numpy as np
import pytest
import scipy.signal

from heimdall_edge.errors import ModelError
from heimdall_edge.signal.mel import (
    MelProfile,
    mel_bank,
    mel_power,
    mel_spectrogram,
    phase6_profile,
    power_to_db,
    resample,
    z_score,
)
from heimdall_edge.signal.stft import hann

RATE_HZ = 16_000.0
PROFILE = MelProfile(
    sample_rate_hz=RATE_HZ,
    n_fft=256,
    hop_length=64,
    window="hann",
    n_mels=32,
    n_frames=40,
    scale="linear",
    fmin_hz=-6_250.0,
    fmax_hz=6_250.0,
)
MANIFEST = {k: v for k, v in asdict(PROFILE).items() if k != "level"}


def noise(n: int, power: float = 1.0, seed: int = 1) -> np.ndarray:
    iq = np.random.default_rng(seed).standard_normal((n, 2), np.float32)
    return (iq * np.float32(math.sqrt(power / 2))).view(np.complex64)[:, 0]


def tone(n: int, offset_hz: float, amplitude: float = 1.0) -> np.ndarray:
    return (amplitude * np.exp(2j * np.pi * offset_hz / RATE_HZ * np.arange(n))).astype(
        np.complex64
    )


# ── the profile ───────────────────────────────────────────────────────────────────────────


def test_a_manifest_reads_back_as_the_profile() -> None:
    assert MelProfile.from_manifest(json.loads(json.dumps(MANIFEST))) == PROFILE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate_hz", 0.0),
        ("sample_rate_hz", math.nan),
        ("sample_rate_hz", "16k"),
        ("n_fft", 255),
        ("n_fft", 4),
        ("n_fft", 256.0),
        ("n_fft", True),
        ("hop_length", 0),
        ("hop_length", 300),
        ("window", "kaiser"),
        ("window", 7),
        ("n_mels", 0),
        ("n_frames", 10**9),
        ("scale", "bark"),
        ("fmin_hz", -9_000.0),
        ("fmin_hz", None),
        ("fmax_hz", -7_000.0),
        ("fmax_hz", 9_000.0),
        ("colour", 1),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_was_expected(
    field: str, value: object
) -> None:
    with pytest.raises(ModelError, match=rf"heimdall\.mel\.{field} is .*expected") as refused:
        MelProfile.from_manifest(MANIFEST | {field: value})
    assert repr(value) in str(refused.value)


def test_a_missing_field_is_named() -> None:
    without = {k: v for k, v in MANIFEST.items() if k != "n_mels"}
    with pytest.raises(ModelError, match=r"heimdall\.mel\.n_mels is missing"):
        MelProfile.from_manifest(without)


def test_a_manifest_that_is_no_object_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a JSON object"):
        MelProfile.from_manifest([1])  # type: ignore[arg-type]


# ── the bank ──────────────────────────────────────────────────────────────────────────────


def test_the_positive_side_of_the_mel_bank_is_librosas() -> None:
    profile = replace(PROFILE, n_fft=1024, n_mels=20, scale="mel", fmin_hz=0.0, fmax_hz=RATE_HZ / 2)
    theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=1024, n_mels=20, norm=None)[:, :512]
    theirs = theirs / theirs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mel_bank(profile)[:, 512:], theirs, atol=2e-6)
    assert not mel_bank(profile)[:, :512].any()


@pytest.mark.parametrize("scale", ["linear", "mel"])
def test_the_two_sides_of_the_bank_mirror_each_other(scale: str) -> None:
    bank = mel_bank(replace(PROFILE, scale=scale))
    np.testing.assert_allclose(bank[:, 1:], bank[::-1, :0:-1], atol=1e-6)


@pytest.mark.parametrize("scale", ["linear", "mel"])
@pytest.mark.parametrize("n_mels", [1, 7, 32, 256])
def test_no_band_is_empty_and_each_weighs_one(scale: str, n_mels: int) -> None:
    bank = mel_bank(replace(PROFILE, scale=scale, n_mels=n_mels))
    np.testing.assert_allclose(bank.sum(axis=1), 1.0, rtol=1e-5)
    assert (bank >= 0).all()


def test_bands_rise_from_the_lowest_frequency_and_even_out_the_whole_channel() -> None:
    bank = mel_bank(PROFILE)
    centers_hz = bank @ (np.arange(256) - 128.0) * RATE_HZ / 256
    np.testing.assert_allclose(np.diff(centers_hz), 12_500 / 33, rtol=0.1)
    covered = bank.sum(axis=0)[40:217]
    np.testing.assert_allclose(covered, covered.mean(), rtol=0.2)


# ── power ─────────────────────────────────────────────────────────────────────────────────


def test_the_power_of_a_real_signal_equals_librosas_mel_spectrogram() -> None:
    real = np.random.default_rng(2).standard_normal(6_000).astype(np.float32)
    profile = replace(PROFILE, scale="mel", n_mels=12, fmin_hz=0.0, fmax_hz=7_000.0, n_frames=1000)
    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=256, n_mels=12, fmax=7_000.0, norm=None)
    theirs = librosa.feature.melspectrogram(
        y=real,
        sr=RATE_HZ,
        n_fft=256,
        hop_length=64,
        center=False,
        n_mels=12,
        fmax=7_000.0,
        norm=None,
    ) / (bank.sum(axis=1, keepdims=True) * np.sum(hann(256) ** 2))
    ours = mel_power(real.astype(np.complex64), profile)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("window", ["hann", "rectangular"])
@pytest.mark.parametrize("noise_power", [1.0, 1e-9])
def test_noise_of_the_floors_power_is_0_db_in_every_band(window: str, noise_power: float) -> None:
    profile = replace(PROFILE, n_frames=6_000, window=window)
    power = mel_power(noise(400_000, noise_power), profile)
    over_floor_db = power_to_db(power.mean(axis=1) / noise_power)
    np.testing.assert_allclose(over_floor_db, 0.0, atol=0.15)


def test_the_floor_may_be_given_in_the_channels_bandwidth() -> None:
    iq = tone(4_000, 1_000.0) + noise(4_000, 1e-4)
    whole = mel_spectrogram(iq, RATE_HZ, 1e-4, PROFILE)
    channel = mel_spectrogram(iq, RATE_HZ, 1e-4 * 0.5, PROFILE, noise_bandwidth_hz=RATE_HZ / 2)
    np.testing.assert_allclose(whole.db_over_floor, channel.db_over_floor, atol=1e-5)


@pytest.mark.parametrize("offset_hz", [-5_000.0, -700.0, 700.0, 5_000.0])
def test_a_tone_lies_in_the_row_of_its_own_side(offset_hz: float) -> None:
    mel = mel_spectrogram(tone(4_000, offset_hz), RATE_HZ, 1e-6, PROFILE).db_over_floor
    row = int(mel[:, 5].argmax())
    assert row == pytest.approx((offset_hz + 6_250) / (12_500 / 33) - 1, abs=0.75)


def test_levels_are_clipped_and_absent_frames_are_zero() -> None:
    profile = replace(PROFILE, n_frames=40)
    iq = np.concatenate((tone(1_000, 500.0, 100.0), np.zeros(1_000, np.complex64)))
    mel = mel_spectrogram(iq, RATE_HZ, 1e-6, profile).db_over_floor
    n_present = 1 + (2_000 - 256) // 64
    assert mel.max() == 60.0
    assert mel[:, :n_present].min() == -10.0
    assert (mel[:, n_present:] == 0).all()
    assert n_present < 40
    assert mel.dtype == np.float32
    assert not mel.flags.writeable


def test_what_is_longer_than_the_frames_is_cut() -> None:
    iq = noise(20_000)
    short = mel_spectrogram(iq[: 256 + 39 * 64], RATE_HZ, 1.0, PROFILE).db_over_floor
    np.testing.assert_allclose(
        mel_spectrogram(iq, RATE_HZ, 1.0, PROFILE).db_over_floor, short, atol=1e-4
    )


@pytest.mark.parametrize("n_samples", [60, 128, 255])
def test_a_burst_shorter_than_a_frame_keeps_its_level(n_samples: int) -> None:
    power = [mel_power(noise(n_samples, seed=n), PROFILE) for n in range(400)]
    assert power[0].shape == (32, 1)
    assert 10 * math.log10(np.mean(power)) == pytest.approx(0.0, abs=0.3)


# ── resampling ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("to_hz", [8_000.0, 12_345.0, 16_000.0, 25_000.0])
@pytest.mark.parametrize("n_samples", [999, 1_000])
def test_resampling_agrees_with_scipy(to_hz: float, n_samples: int) -> None:
    iq = noise(n_samples)
    ours = resample(iq, RATE_HZ, to_hz)
    assert len(ours) == round(n_samples * to_hz / RATE_HZ)
    spectrum_in = np.fft.fft(iq)
    theirs = scipy.signal.resample(iq, len(ours))
    # At half the rate SciPy splits or folds the one bin that belongs to neither side.
    edge = np.abs(spectrum_in[min(len(ours), n_samples) // 2]) * 2 / n_samples
    np.testing.assert_allclose(ours, theirs, atol=edge + 1e-5)


def test_a_tone_keeps_its_power_and_frequency_at_another_rate() -> None:
    iq = tone(4_000, 1_000.0)
    profile = replace(PROFILE, sample_rate_hz=12_800.0)
    there = mel_spectrogram(iq, RATE_HZ, 1e-4, profile).db_over_floor
    here = mel_spectrogram(iq, RATE_HZ, 1e-4, PROFILE).db_over_floor
    assert there[:, 5].argmax() == here[:, 5].argmax()
    # The same density of noise, but bins that are narrower by 1 dB.
    assert there[:, 5].max() == pytest.approx(here[:, 5].max(), abs=1.5)


def test_noise_stays_at_0_db_at_another_rate() -> None:
    profile = replace(PROFILE, sample_rate_hz=12_800.0, n_frames=6_000)
    power = mel_power(resample(noise(500_000), RATE_HZ, 12_800.0), profile)
    density_ratio = power.mean(axis=1) / (12_800.0 / RATE_HZ)
    np.testing.assert_allclose(power_to_db(density_ratio), 0.0, atol=0.2)


def test_a_single_sample_is_enough() -> None:
    assert len(resample(noise(1), RATE_HZ, 1_000.0)) == 1
    assert np.isfinite(mel_spectrogram(noise(1), RATE_HZ, 1.0, PROFILE).db_over_floor).all()


# ── older models ──────────────────────────────────────────────────────────────────────────


def test_phase6_is_the_z_score_of_the_logarithm_over_128_even_bands() -> None:
    iq = noise(8_000) + tone(8_000, 2_000.0)
    seen = mel_spectrogram(iq, RATE_HZ, 1.0, phase6_profile(RATE_HZ)).db_over_floor
    assert seen.shape == (128, 32)
    assert float(seen.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(seen.std()) == pytest.approx(1.0, abs=1e-5)
    frames = np.lib.stride_tricks.sliding_window_view(iq, 512)[::128][:32] * hann(512)
    density = np.abs(np.fft.fftshift(np.fft.fft(frames), axes=1)) ** 2 / np.sum(hann(512) ** 2)
    level = np.log(mel_bank(phase6_profile(RATE_HZ)) @ density.T + 1e-10)
    np.testing.assert_allclose(seen, (level - level.mean()) / level.std(), atol=2e-3)


def test_phase6_does_not_depend_on_the_floor_and_silence_is_all_zero() -> None:
    profile = phase6_profile(RATE_HZ)
    iq = noise(3_000)
    first, second = (mel_spectrogram(iq, RATE_HZ, p, profile).db_over_floor for p in (1.0, 1e-6))
    np.testing.assert_array_equal(first, second)
    silent = mel_spectrogram(np.zeros(8_000, np.complex64), RATE_HZ, 1.0, profile)
    assert not silent.db_over_floor.any()
    assert not z_score(np.full((3, 3), 7.0, np.float32)).any()
