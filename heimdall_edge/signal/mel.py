"""Mel spectrograms of complex IQ, as a model's manifest wants them.

::

    IQ ─▶ (resampled) ─▶ two-sided STFT ─▶ power ─▶ bank of bands ─▶ over noise ─▶ dB, [-10, 60]

The axis of complex IQ has two sides, so the bank has, too: its bands run from ``fmin_hz`` (as a
rule -bandwidth / 2) to ``fmax_hz``, and row 0 is the lowest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import scipy.fft

from heimdall_edge.errors import ModelError
from heimdall_edge.signal.stft import Stft, hann
from heimdall_edge.types import Complex64, Float32, Float64, Mel, frozen_array

Scale = Literal["linear", "mel"]
Window = Literal["hann", "rectangular"]

LEAST_DB, GREATEST_DB = -10.0, 60.0
"""What a model's ``mel`` is clipped to (``locator/1``)."""

_MEL_BREAK_HZ = 1000.0
_MEL_AT_BREAK = 15.0
_MELS_PER_LOG = 27 / math.log(6.4)
"""Slaney's Auditory Toolbox (1998): linear up to 1 kHz, then 27 steps for each factor of 6.4."""

_VALUES_AT_ONCE = 2**17
"""Of a spectrogram: they stay in the processor's cache from the transform to the bank."""

_PHASE6_N_FRAMES = 32
_LN_EPSILON = np.float32(1e-10)


@dataclass(frozen=True, slots=True)
class MelProfile:
    """The kind of spectrogram that a model was trained on; the field names are the manifest's."""

    sample_rate_hz: float
    """IQ of another rate is resampled to this first."""
    n_fft: int
    """Even."""
    hop_length: int
    window: Window
    n_mels: int
    n_frames: int
    """Frames beyond are cut, missing ones are 0 dB."""
    scale: Scale
    """``linear``: bands of equal width. ``mel``: Slaney's scale on both sides of 0 Hz."""
    fmin_hz: float
    """Lower edge of the lowest band; negative for what is below the channel's centre."""
    fmax_hz: float
    level: Literal["db_over_floor", "ln_z_score"] = "db_over_floor"
    """``ln_z_score`` is ln(power + 1e-10), z-scored: older models only, no manifest asks for it."""

    def __post_init__(self) -> None:
        half_hz = self.sample_rate_hz / 2
        for name, is_right, expected in (
            ("sample_rate_hz", 0 < self.sample_rate_hz <= 1e9, "over 0, up to 1e9"),
            ("n_fft", 8 <= self.n_fft <= 65_536 and self.n_fft % 2 == 0, "even, 8 to 65536"),
            ("hop_length", 1 <= self.hop_length <= self.n_fft, "1 to n_fft"),
            ("window", self.window in get_args(Window), f"one of {get_args(Window)}"),
            ("n_mels", 1 <= self.n_mels <= self.n_fft, "1 to n_fft"),
            ("n_frames", 1 <= self.n_frames <= 65_536, "1 to 65536"),
            ("scale", self.scale in get_args(Scale), f"one of {get_args(Scale)}"),
            ("fmin_hz", -half_hz <= self.fmin_hz < half_hz, "within ± sample_rate_hz / 2"),
            ("fmax_hz", self.fmin_hz < self.fmax_hz <= half_hz, "over fmin_hz, to half the rate"),
        ):
            if not is_right:
                raise _refused(name, getattr(self, name), expected)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> MelProfile:
        """Read ``heimdall.mel`` of a model's manifest.

        Raises
        ------
        ModelError
            Naming the field, what it is, and what was expected.
        """
        if not isinstance(manifest, Mapping):
            raise ModelError(f"heimdall.mel is {manifest!r}: expected a JSON object")
        kinds = {f.name: str(f.type) for f in fields(cls) if f.name != "level"}
        for name in manifest.keys() - kinds.keys():
            raise _refused(name, manifest[name], f"only {', '.join(kinds)}")
        for name, kind in kinds.items():
            if name not in manifest:
                raise ModelError(f"heimdall.mel.{name} is missing")
            if not _is_kind(manifest[name], kind):
                raise _refused(name, manifest[name], _KIND_NAMES.get(kind, "a string"))
        return cls(**manifest)


_KIND_NAMES = {"int": "a whole number", "float": "a finite number"}


def _is_kind(value: object, kind: str) -> bool:
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return isinstance(value, str)


def _refused(name: str, value: object, expected: str) -> ModelError:
    return ModelError(f"heimdall.mel.{name} is {value!r}: expected {expected}")


def phase6_profile(sample_rate_hz: float) -> MelProfile:
    """What models before ``locator/1`` want: 128 even bands over the whole of the rate."""
    return MelProfile(
        sample_rate_hz=sample_rate_hz,
        n_fft=512,
        hop_length=128,
        window="hann",
        n_mels=128,
        n_frames=_PHASE6_N_FRAMES,
        scale="linear",
        fmin_hz=-sample_rate_hz / 2,
        fmax_hz=sample_rate_hz / 2,
        level="ln_z_score",
    )


def mel_spectrogram(
    iq: Complex64,
    sample_rate_hz: float,
    noise_power: float,
    profile: MelProfile,
    *,
    noise_bandwidth_hz: float | None = None,
) -> Mel:
    """Mel spectrogram in dB over the receiver's noise floor.

    Parameters
    ----------
    iq : complex64 [n_samples]
        At least one sample.
    noise_power
        Linear, over 0, in ``noise_bandwidth_hz`` (the whole sample rate when left out). White
        noise of that density reads a mean power ratio of 1, 0 dB, in every band.

    Returns
    -------
    Mel
        Clipped to [-10, 60] dB; 0 dB in frames that the IQ is too short for. A profile with
        ``level`` ``ln_z_score`` gets z-scores instead, over all frames, absent ones being silent.
    """
    power = np.zeros((profile.n_mels, profile.n_frames), np.float32)
    present = mel_power(resample(iq, sample_rate_hz, profile.sample_rate_hz), profile)
    n_present = present.shape[1]
    power[:, :n_present] = present
    if profile.level == "ln_z_score":
        return Mel(frozen_array(z_score(np.log(power + _LN_EPSILON))))
    noise_density = noise_power / (noise_bandwidth_hz or sample_rate_hz)
    over_floor_db = power_to_db(power / np.float32(noise_density * profile.sample_rate_hz))
    np.clip(over_floor_db, LEAST_DB, GREATEST_DB, out=over_floor_db)
    over_floor_db[:, n_present:] = 0.0
    return Mel(frozen_array(over_floor_db))


def z_score(level: Float32) -> Float32:
    """Mean 0 and standard deviation 1, or all 0 where everything is alike."""
    spread = float(level.std()) or 1.0
    scored: Float32 = (level - level.mean()) / np.float32(spread)
    return scored


def mel_power(iq: Complex64, profile: MelProfile) -> Float32:
    """Power density in each band and frame, at the profile's own rate.

    Frames are whole and not centred. IQ shorter than one is padded, its density taken over what
    there is.

    Returns
    -------
    float32 [n_mels, n_frames or fewer]
        A band's weighted mean over its bins: white noise of power σ² reads σ².
    """
    n_fft = profile.n_fft
    window = hann(n_fft) if profile.window == "hann" else np.ones(n_fft, np.float32)
    n_short = n_fft - len(iq)
    if n_short > 0:
        filled = float(np.sum(window[: len(iq)] ** 2) / np.sum(window**2))
        iq = np.pad(iq, (0, n_short)) / np.float32(math.sqrt(max(filled, 1e-6)))
    stft = Stft(window, profile.hop_length)
    n_frames = min(stft.n_frames(len(iq)), profile.n_frames)
    bank = mel_bank(profile)
    power = np.empty((profile.n_mels, n_frames), np.float32)
    n_at_once = max(1, _VALUES_AT_ONCE // n_fft)
    for first in range(0, n_frames, n_at_once):
        n_taken = min(n_at_once, n_frames - first)
        start = first * profile.hop_length
        part = iq[start : start + (n_taken - 1) * profile.hop_length + n_fft]
        np.matmul(bank, stft.power_density(part).T, out=power[:, first : first + n_taken])
    return power


def power_to_db(power: Float32) -> Float32:
    """10·log10; powers under 1e-20 read -200 dB."""
    # NumPy's natural logarithm of float32 is several times faster than its log10.
    return np.log(np.maximum(power, np.float32(1e-20))) * np.float32(10 / math.log(10))


@lru_cache(maxsize=8)
def mel_bank(profile: MelProfile) -> Float32:
    """Triangular bands over the two-sided axis, float32 [n_mels, n_fft]; each row sums to 1.

    A band reaches from its lower neighbour's centre to its upper one's; the centres are even on
    the profile's scale. A band narrower than the bins is widened to them, so that none is empty.
    """
    lowest, highest = _warped(np.array([profile.fmin_hz, profile.fmax_hz]), profile.scale)
    edges_hz = _unwarped(np.linspace(lowest, highest, profile.n_mels + 2), profile.scale)
    bin_hz = profile.sample_rate_hz / profile.n_fft
    bins_hz = (np.arange(profile.n_fft) - profile.n_fft // 2) * bin_hz
    centers_hz = edges_hz[1:-1, np.newaxis]
    rise_hz = np.maximum(centers_hz - edges_hz[:-2, np.newaxis], bin_hz)
    fall_hz = np.maximum(edges_hz[2:, np.newaxis] - centers_hz, bin_hz)
    offset_hz = bins_hz - centers_hz
    weights = 1 - np.maximum(offset_hz / fall_hz, -offset_hz / rise_hz)
    weights = np.maximum(weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return frozen_array(weights.astype(np.float32))


def _warped(frequency_hz: Float64, scale: Scale) -> Float64:
    """Frequency → position on a scale; odd, so that both sides of 0 Hz are alike."""
    if scale == "linear":
        return frequency_hz
    size_hz = np.abs(frequency_hz)
    above = _MEL_AT_BREAK + _MELS_PER_LOG * np.log(np.maximum(size_hz / _MEL_BREAK_HZ, 1.0))
    low = size_hz / _MEL_BREAK_HZ * _MEL_AT_BREAK
    return np.sign(frequency_hz) * np.where(size_hz < _MEL_BREAK_HZ, low, above)


def _unwarped(position: Float64, scale: Scale) -> Float64:
    """The inverse of :func:`_warped`."""
    if scale == "linear":
        return position
    size = np.abs(position)
    above = _MEL_BREAK_HZ * np.exp(np.maximum(size - _MEL_AT_BREAK, 0.0) / _MELS_PER_LOG)
    low_hz = size / _MEL_AT_BREAK * _MEL_BREAK_HZ
    return np.sign(position) * np.where(size < _MEL_AT_BREAK, low_hz, above)


def resample(iq: Complex64, from_hz: float, to_hz: float) -> Complex64:
    """Another rate by cutting or padding the spectrum: round(n · to / from) samples, at least 1."""
    n_in = len(iq)
    n_out = max(1, round(n_in * to_hz / from_hz))
    if n_out == n_in:
        return iq
    spectrum = scipy.fft.fft(iq)
    n_kept = min(n_in, n_out)
    n_positive = (n_kept + 1) // 2
    n_negative = n_kept - n_positive
    resized = np.zeros(n_out, np.complex64)
    resized[:n_positive] = spectrum[:n_positive]
    resized[n_out - n_negative :] = spectrum[n_in - n_negative :]
    resampled: Complex64 = scipy.fft.ifft(resized, overwrite_x=True)
    return resampled * np.float32(n_out / n_in)
