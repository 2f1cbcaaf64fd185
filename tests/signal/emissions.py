"""Synthetic transmissions, heard exactly: at any delay, rate and first instant.

An emission is a Fourier series with a period longer than any window. Its value at an instant is a
sum of lines, so that a delay is exact, by no interpolation of anybody's; SciPy's chirp-z transform
does the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import czt

from heimdall_edge.signal.spectrum import Spectrum, Window
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    IQSnippet,
    Observation,
    Place,
    ReceiverInfo,
    frozen_array,
)

START_UTC_NS = 1_700_000_000 * 10**9
CLOCK = ClockState(ClockSource.GNSS, sigma_s=1e-9, locked=True)
PLACES = (
    Place(45.0, 7.5),
    Place(45.2, 7.6),
    Place(45.05, 7.9),
    Place(45.3, 7.8),
    Place(44.9, 7.7),
)


@dataclass(frozen=True, eq=False)
class Emission:
    """Σ lines[k] · e^(2πj (first + k) t / period_s), of mean power 1."""

    lines: NDArray[np.complex128]
    first: int
    period_s: float
    bandwidth_hz: float
    """That its SNR refers to."""

    @classmethod
    def of_samples(cls, samples, rate_hz, bandwidth_hz):
        spectrum = np.fft.fft(samples) / len(samples)
        reach = int(bandwidth_hz / 2 * len(samples) / rate_hz)
        lines = np.concatenate((spectrum[-reach:], spectrum[: reach + 1]))
        lines /= np.sqrt(np.sum(np.abs(lines) ** 2))
        return cls(lines, -reach, len(samples) / rate_hz, bandwidth_hz)

    @property
    def hz(self):
        return (self.first + np.arange(len(self.lines))) / self.period_s

    def heard(self, first_s, rate_hz, n_samples):
        """complex128 [n_samples]: its value at first_s + n / rate_hz."""
        turned = self.lines * np.exp(2j * np.pi * np.mod(self.hz * first_s, 1))
        step = np.exp(2j * np.pi / (self.period_s * rate_hz))
        carrier = self.first / self.period_s / rate_hz * np.arange(n_samples)
        return czt(turned, m=n_samples, w=step) * np.exp(2j * np.pi * np.mod(carrier, 1))


def noise_like(rng, *, bandwidth_hz=10_000.0, period_s=2.5):
    """Flat noise in a band: the signal of the textbook bound."""
    n = int(bandwidth_hz * period_s) // 2 * 2 + 1
    lines = rng.normal(size=n) + 1j * rng.normal(size=n)
    return Emission(lines / np.sqrt(np.sum(np.abs(lines) ** 2)), -(n // 2), period_s, bandwidth_hz)


def voice_like(rng, *, period_s=2.5, rate_hz=48_000):
    """Narrow-band FM of syllables: a gliding pitch with its harmonics, breath, pauses."""
    n = int(period_s * rate_hz)
    t = np.arange(n) / rate_hz
    pitch_hz = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.zeros(n)
    for harmonic in range(3, 24):
        swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 4) * t)
        voice += np.cos(harmonic * phase + rng.uniform(0, 6)) / harmonic * swell
    hz = np.fft.rfftfreq(n, 1 / rate_hz)
    breath = np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * ((hz > 300) & (hz < 3000)), n)
    voice = (voice + 0.3 * breath) * (np.sin(2 * np.pi * 1.3 * t + rng.uniform(0, 6)) > -0.6)
    deviation_hz = 2_500 * voice / np.abs(voice).max()
    samples = np.exp(2j * np.pi * np.cumsum(deviation_hz) / rate_hz)
    return Emission.of_samples(samples, rate_hz, 12_000)


def dcf77_like(rng, *, period_s=6, rate_hz=12_000):
    """A carrier, second marks at 15 % of its level, and ±13° of phase by a 512-chip code."""
    register = [1] * 9
    chips = []
    for _ in range(512):
        chips.append(2 * register[-1] - 1)
        register = [register[4] ^ register[8], *register[:-1]]
    t = np.arange(period_s * rate_hz) / rate_hz + rng.uniform()
    phase, level = np.zeros(len(t)), np.ones(len(t))
    for second in range(period_s + 1):
        bit = rng.choice([-1, 1])
        chip = np.floor((t - second - 0.2) * 77_500 / 120).astype(int)
        coded = (chip >= 0) & (chip < 512)
        phase[coded] = np.radians(13) * bit * np.array(chips)[chip[coded]]
        level[(t >= second) & (t < second + (0.1 if bit > 0 else 0.2))] = 0.15
    return Emission.of_samples(level * np.exp(1j * phase), rate_hz, 6_000)


def carrier(rng, *, period_s=2.5, at_hz=437.2):
    """A carrier alone: it has no delay to find."""
    return Emission(np.ones(1, complex), round(at_hz * period_s), period_s, 10_000)


def snippet(
    rng, emission, *, delay_s, snr_db, rate_hz=15_625.0, duration_s=1.0, offset_hz=0.0, begin_s=0.0
):
    """What a receiver keeps of it: its own noise, phase, rate (± 5 ppm), and begin (± 10 ms)."""
    rate_hz *= 1 + rng.uniform(-5e-6, 5e-6)
    start_utc_ns = START_UTC_NS + round((begin_s + rng.uniform(0, 0.01)) * 1e9)
    n = int((duration_s + rng.uniform(0, 0.01)) * rate_hz)
    first_s = (start_utc_ns - START_UTC_NS) / 1e9 - delay_s
    iq = emission.heard(first_s, rate_hz, n)
    iq *= np.exp(2j * np.pi * (offset_hz * np.arange(n) / rate_hz + rng.uniform()))
    noise_power = rate_hz / emission.bandwidth_hz * 10 ** (-snr_db / 10)
    iq += np.sqrt(noise_power / 2) * (rng.normal(size=n) + 1j * rng.normal(size=n))
    return IQSnippet(frozen_array((0.1 * iq).astype(np.complex64)), rate_hz, start_utc_ns)


def observation(kept: IQSnippet | None, *, number: int = 0, clock=CLOCK, heard=True, place=None):
    receiver = ReceiverInfo("station", f"rx{number}", place or PLACES[number % len(PLACES)])
    return Observation(
        observation_id=f"o{number}",
        receiver=receiver,
        channel="c",
        frequency_hz=145e6,
        start_utc_ns=START_UTC_NS if kept is None else kept.start_utc_ns,
        duration_s=1.0,
        noise_floor_dbfs=-60.0,
        heard=heard,
        clock=clock,
        snippet=kept,
    )


def scene(
    rng,
    emission,
    delays_s: Sequence[float],
    *,
    snr_db: Sequence[float] | float = 20.0,
    offsets_hz: Sequence[float] | None = None,
    **how,
):
    """One observation a delay."""
    n = len(delays_s)
    snrs_db = np.broadcast_to(snr_db, n)
    offsets_hz = [0.0] * n if offsets_hz is None else offsets_hz
    return [
        observation(
            snippet(
                rng,
                emission,
                delay_s=delays_s[i],
                snr_db=snrs_db[i],
                offset_hz=offsets_hz[i],
                **how,
            ),
            number=i,
        )
        for i in range(n)
    ]


def pair_bound_s(emission, snr_db, *, duration_s=1.0):
    """The Cramér–Rao bound on the delay between two receivers, one SNR each (dB).

    1 / √(T ∫ (2π (f − f̄))² · 2 γ1 γ2 / (1 + γ1 + γ2) df), with the emission's spectrum averaged
    over 60 Hz; for a flat one it is 3 / (2π² B³ T γ).
    """
    width = max(1, round(60 * emission.period_s))
    power = np.convolve(np.abs(emission.lines) ** 2, np.ones(width) / width, "same")
    flat = 1 / (emission.bandwidth_hz * emission.period_s)
    one, two = (power / flat * 10 ** (snr / 10) for snr in snr_db)
    weight = one * two / (1 + one + two)
    omega = 2 * np.pi * (emission.hz - np.average(emission.hz, weights=weight))
    return 1 / np.sqrt(2 * duration_s / emission.period_s * np.sum(weight * omega**2))


def spectra(rng, emission, delay_s, *, snr_db=20.0, offset_hz=0.0, duration_s=1.0, **how):
    """The late and the early one's, on one window."""
    late = snippet(
        rng, emission, delay_s=delay_s, snr_db=snr_db, offset_hz=offset_hz, duration_s=duration_s
    )
    early = snippet(rng, emission, delay_s=0, snr_db=snr_db, duration_s=duration_s)
    start_utc_ns = max(late.start_utc_ns, early.start_utc_ns)
    window = Window.of(start_utc_ns, duration_s - 0.02, 15_620)
    return Spectrum.of(late, window), Spectrum.of(early, window)
