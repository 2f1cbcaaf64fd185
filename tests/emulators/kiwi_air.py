"""What an emulated KiwiSDR's converter takes in: a real recording, or a signal with known truth."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from heimdall_edge.types import ClockState

FRAME_SAMPLES = 512
NS = 1_000_000_000
WEEK_NS = 604_800 * NS
GPS_EPOCH_NS = 315_964_800 * NS
GPS_MINUS_UTC_NS = 18 * NS
METER_TIME_S = 0.01


class AirTime:
    """The clocks of a host in the emulated world: from an instant on, ``speed`` times as fast."""

    def __init__(
        self, *, begun_utc_ns: int, speed: float = 1.0, clock: ClockState | None = None
    ) -> None:
        self.speed, self.clock = speed, clock or ClockState()
        self._begun_utc_ns, self._began_ns = begun_utc_ns, time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return round((time.monotonic_ns() - self._began_ns) * self.speed)

    def utc_ns(self) -> int:
        return self._begun_utc_ns + self.monotonic_ns()


@dataclass(frozen=True)
class AirFrame:
    """512 samples, and the stamp of the first one."""

    samples: np.ndarray
    """int16 [1024], I and Q in turn."""
    stamp_ns: int
    """GPS time of the week; 0 where there is none."""
    age_s: int = 2


class Recording:
    """The frames of a KiwiSDR's IQ wav file, on the air once, when they were recorded.

    Parameters
    ----------
    near_utc_ns
        When that was, to some days: a stamp does not know its week.
    """

    has_stale_stamps = True
    """As it was recorded."""
    rate_hz = 12_001.1

    def __init__(self, path: Path, *, near_utc_ns: int) -> None:
        self._frames = list(_frames_in(path.read_bytes()))
        good = 5  # the first ones are stale
        gps_ns = near_utc_ns - GPS_EPOCH_NS + GPS_MINUS_UTC_NS
        off_ns = (self._frames[good].stamp_ns - gps_ns + WEEK_NS // 2) % WEEK_NS - WEEK_NS // 2
        self.begun_utc_ns = near_utc_ns + off_ns - round(good * FRAME_SAMPLES * NS / self.rate_hz)

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, number: int) -> AirFrame | None:
        return self._frames[number] if number < len(self._frames) else None


def _frames_in(content: bytes) -> Iterator[AirFrame]:
    """RIFF chunks: ``kiwi`` (10 bytes) and ``data`` (2048 bytes, little-endian) in turn."""
    at, stamp_ns, age_s = 12, 0, 0
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        at += 8
        if name == b"kiwi":
            age_s, _, second, ns = struct.unpack_from("<BBII", content, at)
            stamp_ns = second * NS + ns
        elif name == b"data" and at + size <= len(content):
            yield AirFrame(np.frombuffer(content, "<i2", size // 2, at), stamp_ns, age_s)
        at += size + size % 2


class Noise:
    """Noise and a carrier, the same for whoever asks for the same frame.

    Parameters
    ----------
    begun_utc_ns
        When frame 0 began.
    rate_hz
        The true one.
    jitter_ns
        Standard deviation of a stamp.
    """

    has_stale_stamps = False

    def __init__(
        self,
        *,
        begun_utc_ns: int,
        rate_hz: float = 12_001.14,
        noise_rms: float = 400.0,
        carrier: float = 3_000.0,
        jitter_ns: float = 40.0,
    ) -> None:
        self.rate_hz, self.begun_utc_ns = rate_hz, begun_utc_ns
        self._noise_rms, self._carrier, self._jitter_ns = noise_rms, carrier, jitter_ns

    def utc_ns(self, number: int, *, skipped_samples: int = 0) -> int:
        """When a frame's first sample was taken, in truth."""
        samples = number * FRAME_SAMPLES + skipped_samples
        return self.begun_utc_ns + round(samples * NS / self.rate_hz)

    def frame(self, number: int) -> AirFrame | None:
        random = np.random.default_rng((7, number))
        iq = random.normal(0, self._noise_rms / math.sqrt(2), (FRAME_SAMPLES, 2))
        phase = 2 * np.pi * 0.01 * (np.arange(FRAME_SAMPLES) + FRAME_SAMPLES * number)
        iq += self._carrier * np.stack((np.cos(phase), np.sin(phase)), axis=1)
        samples = np.clip(np.rint(iq), -32768, 32767).astype(np.int16).reshape(-1)
        jitter_ns = round(random.normal(0, self._jitter_ns))
        gps_ns = self.utc_ns(number) + jitter_ns - GPS_EPOCH_NS + GPS_MINUS_UTC_NS
        return AirFrame(samples, gps_ns % WEEK_NS)


class Meter:
    """The S-meter: dB of each sample, forgotten within 10 ms, cut to tenths of a dB."""

    def __init__(self, *, rate_hz: float, full_scale_dbm: float) -> None:
        self._alpha = 1 - math.exp(-1 / (rate_hz * METER_TIME_S))
        self._full_scale_dbm = full_scale_dbm
        self._state = np.full(1, -(1 - self._alpha) * 60.0)

    def read(self, samples: np.ndarray) -> int:
        """What a frame's header says: 0…1304, tenths of a dB over −127 dBm."""
        power = (samples.reshape(-1, 2).astype(float) ** 2).sum(axis=1) / 32768**2
        power_db = 10 * np.log10(np.maximum(power, 1e-20))
        smooth, self._state = lfilter([self._alpha], [1, self._alpha - 1], power_db, zi=self._state)
        level_dbm = min(max(smooth[-1] + self._full_scale_dbm, -127.0), 3.4)
        return int((level_dbm + 127.0) * 10)
