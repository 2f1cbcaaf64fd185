"""What a simulated transmitter sends, as a function of absolute time.

::

    schedule ──amplitude──┐
    modulation ─amplitude─┴─▶ product ─┐
               └phase, cycles ─────────┴─▶ Reception (reception.py), at t − d/c

Nothing here has a history: any instant may be asked for, in any order, to a fraction of a
nanosecond, and gives the same answer for the same seed. Times are seconds since the simulation's
start, float64; a delay is applied by asking for an earlier instant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.config_simulation import Transmitter
from heimdall_edge.sources.seeds import generator
from heimdall_edge.types import Float32, Float64, frozen_array

Real = TypeVar("Real", np.float32, np.float64)

RAMP_S = 0.5e-3
"""A transmitter's power rises and falls like this, as a raised cosine: no key clicks."""

SPEECH_RATE_HZ = 32_000.0
SPEECH_SAMPLES = 2**18
"""8.192 s, after which speech repeats: longer than any window that is correlated."""
SPEECH_LOW_HZ, SPEECH_HIGH_HZ = 300.0, 3_000.0
SYLLABLE_RATE_HZ = 4.0

KEYING_SYMBOLS = 2**14
KEYING_EDGE = 0.25
"""Share of a symbol that a change of amplitude takes."""


class Modulation(Protocol):
    """How a transmitter that is on varies its carrier."""

    def phase_cycles(self, time_s: Float64) -> Float32 | float:
        """What is added to the carrier's phase, cycles [n]."""
        ...

    def amplitude(self, time_s: Float64) -> Float32 | float:
        """0…1 of full power's amplitude [n]."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a transmitter is on: ``on_s`` long, with ``off_s`` between, from ``first_on_s``."""

    first_on_s: float
    on_s: float
    off_s: float

    @classmethod
    def of(cls, transmitter: Transmitter) -> Schedule:
        return cls(transmitter.first_on_s, transmitter.on_s, transmitter.off_s)

    @property
    def period_s(self) -> float:
        return self.on_s + self.off_s if self.off_s > 0 else math.inf

    def transmissions(self, from_s: float = 0.0) -> Iterator[tuple[int, float, float]]:
        """Number, start and end of each transmission that ends after ``from_s``, for ever."""
        if self.off_s <= 0:
            yield 0, self.first_on_s, math.inf
            return
        number = max(0, math.floor((from_s - self.first_on_s) / self.period_s))
        while True:
            start_s = self.first_on_s + number * self.period_s
            if start_s + self.on_s > from_s:
                yield number, start_s, start_s + self.on_s
            number += 1

    def is_on_within(self, start_s: float, end_s: float) -> bool:
        """Whether it is on at any instant from start to end."""
        return next(self.transmissions(start_s))[1] < end_s

    def amplitude(self, time_s: Float64) -> Float32 | float:
        """0 off, 1 on, a raised cosine of ``RAMP_S`` between, within the time that it is on."""
        ramp_s = min(RAMP_S, self.on_s / 2)
        earliest_s, latest_s = time_s.min(), time_s.max()
        _, start_s, end_s = next(self.transmissions(earliest_s))
        if start_s + ramp_s <= earliest_s and latest_s <= end_s - ramp_s:
            return 1.0
        since_s = time_s - self.first_on_s
        if self.off_s > 0:
            since_s -= self.period_s * np.maximum(np.floor(since_s / self.period_s), 0)
            since_s = np.minimum(since_s, self.on_s - since_s)
        return _raised_cosine((since_s / ramp_s).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Carrier:
    """A bare carrier."""

    def phase_cycles(self, time_s: Float64) -> float:  # noqa: ARG002
        return 0.0

    def amplitude(self, time_s: Float64) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True, slots=True, eq=False)
class VoiceFm:
    """Narrow-band FM by something like speech: syllables of limited noise, 300–3,000 Hz.

    The message is a finite Fourier series (lines 0.122 Hz apart), so its integral, the phase, is
    known in closed form. Both are tabulated at ten times the highest frequency; between the
    entries the cubic through the phase and its slope is within 1e-4 cycles of the series.
    """

    deviation_hz: float
    """Peak deviation."""
    message: Float32
    """float32 [n + 1] at ``SPEECH_RATE_HZ``, -1…1; the last is the first again."""
    integral_s: Float32
    """float32 [n + 1]: the message's integral over time."""

    def phase_cycles(self, time_s: Float64) -> Float32:
        position = time_s * SPEECH_RATE_HZ
        floor = np.floor(position)
        along = (position - floor).astype(np.float32)
        entry = floor.astype(np.int64) & (SPEECH_SAMPLES - 1)
        start, end = self.integral_s[entry], self.integral_s[entry + 1]
        step_s = np.float32(1 / SPEECH_RATE_HZ)
        start_slope, end_slope = self.message[entry] * step_s, self.message[entry + 1] * step_s
        rise = end - start
        cubic = start_slope + end_slope - 2 * rise
        square = rise - start_slope - cubic
        value = start + along * (start_slope + along * (square + along * cubic))
        return np.asarray(np.float32(self.deviation_hz) * value)

    def amplitude(self, time_s: Float64) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True, slots=True, eq=False)
class OnOffKeying:
    """Random symbols, each carrier or nothing, with edges of raised cosine."""

    symbol_rate_hz: float
    symbols: Float32
    """float32 [n + 1], 0 or 1, repeating; the last is the first again."""

    def phase_cycles(self, time_s: Float64) -> float:  # noqa: ARG002
        return 0.0

    def amplitude(self, time_s: Float64) -> Float32:
        position = time_s * self.symbol_rate_hz
        floor = np.floor(position)
        along = (position - floor).astype(np.float32)
        entry = floor.astype(np.int64) & (KEYING_SYMBOLS - 1)
        before, now = self.symbols[entry], self.symbols[entry + 1]
        return np.asarray(before + (now - before) * _raised_cosine(along / KEYING_EDGE))


def modulation_of(transmitter: Transmitter, *, seed: int) -> Modulation:
    """What the configuration says that a transmitter sends."""
    if transmitter.modulation == "nfm":
        message, integral_s = _speech(seed, transmitter.name)
        return VoiceFm(transmitter.deviation_hz, message, integral_s)
    if transmitter.modulation == "ook":
        bits = generator(seed, "symbols", transmitter.name).integers(0, 2, KEYING_SYMBOLS)
        symbols = np.append(bits, bits[0]).astype(np.float32)
        return OnOffKeying(transmitter.symbol_rate_hz, frozen_array(symbols))
    return Carrier()


@lru_cache(maxsize=16)  # the receivers of a network hear the same speech: 2 MB
def _speech(seed: int, name: str) -> tuple[Float32, Float32]:
    """A speaker's message (peak 1) and its integral over time; float32 [n + 1] each."""
    random = generator(seed, "speech", name)
    frequency_hz = scipy.fft.rfftfreq(SPEECH_SAMPLES, 1 / SPEECH_RATE_HZ)
    voice = _filtered_noise(random, _voice_band(frequency_hz) * _vocal_tilt(frequency_hz))
    syllables = _filtered_noise(random, np.exp(-((frequency_hz / SYLLABLE_RATE_HZ) ** 2)))
    limited = np.tanh(voice * np.exp(syllables))
    spectrum = scipy.fft.rfft(limited) * _voice_band(frequency_hz)
    message = scipy.fft.irfft(spectrum)
    scale = 1 / np.abs(message).max()
    spectrum[1:] /= 2j * np.pi * frequency_hz[1:]
    integral_s = scipy.fft.irfft(spectrum)
    return _closed(message * scale), _closed(integral_s * scale)


def _filtered_noise(random: np.random.Generator, response: Float64) -> Float64:
    """Gaussian noise of variance 1, float64 [n], shaped by an amplitude response."""
    noise = scipy.fft.irfft(scipy.fft.rfft(random.standard_normal(SPEECH_SAMPLES)) * response)
    return np.asarray(noise / noise.std())


def _voice_band(frequency_hz: Float64) -> Float64:
    """1 within the voice band with soft edges, exactly 0 outside it and at 0 Hz."""
    low = _raised_cosine((frequency_hz / SPEECH_LOW_HZ - 0.8) / 0.4)
    high = _raised_cosine((1 - frequency_hz / SPEECH_HIGH_HZ) / 0.1)
    return np.asarray(low * high)


def _vocal_tilt(frequency_hz: Float64) -> Float64:
    """Speech falls by 6 dB an octave over 1 kHz; a transmitter's pre-emphasis takes half of it."""
    return np.asarray(1 / np.sqrt(1 + frequency_hz / 1_000))


def _raised_cosine(share: NDArray[Real]) -> NDArray[Real]:
    """0 below 0, 1 over 1, and half a cosine wave between."""
    cosine: NDArray[Real] = np.cos(np.clip(share, 0, 1) * share.dtype.type(np.pi))
    cosine -= 1
    cosine *= -0.5
    return cosine


def _closed(samples: Float64) -> Float32:
    return frozen_array(np.append(samples, samples[0]).astype(np.float32))
