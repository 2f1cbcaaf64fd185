"""A tone in noise, sample by sample: what the emulated receivers hear."""

from __future__ import annotations

import math

import numpy as np


class Tone:
    """Complex samples of one carrier at an absolute frequency, in white noise.

    Parameters
    ----------
    frequency_hz
        Where the carrier is on the air.
    amplitude, noise
        Of the carrier and of the noise's standard deviation in I and in Q; full scale is 1.
    """

    def __init__(
        self, frequency_hz: float, *, amplitude: float = 0.5, noise: float = 0.05, seed: int = 1
    ) -> None:
        self.frequency_hz, self.amplitude = frequency_hz, amplitude
        generator = np.random.default_rng(seed)
        self._noise = noise * generator.standard_normal((1 << 17, 2)) @ np.array([1, 1j])
        self._phase = 0.0

    def samples(self, n_samples: int, *, center_freq_hz: float, sample_rate_hz: float):
        """complex128 [n_samples]; the phase goes on from the last call."""
        step = 2 * math.pi * (self.frequency_hz - center_freq_hz) / sample_rate_hz
        phases = self._phase + step * np.arange(n_samples)
        self._phase = (self._phase + step * n_samples) % (2 * math.pi)
        noise = np.resize(self._noise, n_samples)
        return self.amplitude * np.exp(1j * phases) + noise


def as_u8(samples, *, zero: float = 127.5) -> bytes:
    """Interleaved unsigned bytes, full scale 1."""
    values = np.rint(samples.view(np.float64) * 127.5 + zero)
    return np.clip(values, 0, 255).astype(np.uint8).tobytes()


def as_s16(samples) -> bytes:
    """Interleaved little-endian 16 bit integers."""
    values = np.rint(samples.view(np.float64) * 32767)
    return np.clip(values, -32768, 32767).astype("<i2").tobytes()


def as_s24(samples) -> bytes:
    """Interleaved little-endian 24 bit integers."""
    values = np.clip(np.rint(samples.view(np.float64) * 8388607), -8388608, 8388607)
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def as_f32(samples) -> bytes:
    """Interleaved little-endian float32."""
    return samples.view(np.float64).astype("<f4").tobytes()


def peak_hz(block) -> float:
    """Absolute frequency of the strongest line of an IQ block, to a fraction of a bin."""
    values = block.samples.astype(np.float64)
    iq = values[0::2] + 1j * values[1::2]
    iq -= iq.mean()
    power = np.abs(np.fft.fft(iq * np.hanning(len(iq)))) ** 2
    frequencies_hz = np.fft.fftfreq(len(iq), 1 / block.sample_rate_hz)
    return block.center_freq_hz + frequencies_hz[int(power.argmax())]
