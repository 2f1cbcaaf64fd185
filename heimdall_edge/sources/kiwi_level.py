"""How a KiwiSDR's numbers become dBm: its S-meter against its own samples.

The server meters the very samples that it sends, before a fixed gain: the meter's dBm less the
samples' dBFS is one constant, whatever is on the air. It averages the decibels of single samples
(not their power: noise would read 2.5 dB apart), forgetting within 10 ms; the same is done here.
Source: jks-prv/Beagle_SDR_GPS ``rx/rx_sound.cpp``, "S-meter from CuteSDR".
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.sources.kiwi_frames import SoundFrame
from heimdall_edge.types import Float64

METER_TIME_S = 0.01
LEAST_FRAMES = 24
"""About a second: before that, nothing is said."""
REMEMBERED_FRAMES = 600
"""About half a minute: the constant holds as long as the gain does."""
LEAST_LEVEL_DBFS = -70.0
"""Ten steps of the converter: below, rounding to whole numbers shows in the decibels."""
_FULL_SCALE = 32_768.0


class LevelConstant:
    """The level at the antenna of a full-scale tone, found from frame after frame."""

    def __init__(self, *, sample_rate_hz: float) -> None:
        self._keep = np.exp(-1 / (sample_rate_hz * METER_TIME_S))
        self._weights: Float64 = np.empty(0)
        self._found_dbm: deque[float] = deque(maxlen=REMEMBERED_FRAMES)

    @property
    def full_scale_dbm(self) -> float | None:
        """0 dBFS in dBm; ``None`` until enough frames have said so."""
        if len(self._found_dbm) < LEAST_FRAMES:
            return None
        return float(np.median(self._found_dbm))

    def take(self, frame: SoundFrame) -> None:
        """Learn from a frame, where its meter says anything (no overflow, off its limits)."""
        if frame.smeter_dbm is None:
            return
        samples = np.frombuffer(frame.payload, ">i2" if frame.datatype == "ci16_be" else "<i2")
        level_dbfs = self._metered_dbfs(samples)
        if level_dbfs is not None:
            self._found_dbm.append(frame.smeter_dbm - level_dbfs)

    def _metered_dbfs(self, samples: NDArray[np.int16]) -> float | None:
        """What the meter makes of the samples, dBFS; ``None`` where they are too small, or cut."""
        iq = samples.reshape(-1, 2).astype(np.float64)
        if np.abs(iq).max() >= _FULL_SCALE - 1:
            return None
        power_db = 10 * np.log10(np.maximum((iq**2).sum(axis=1), 0.5) / _FULL_SCALE**2)
        if len(self._weights) != len(power_db):
            weights = self._keep ** np.arange(len(power_db))[::-1]
            self._weights = weights / weights.sum()
        level_dbfs = float(power_db @ self._weights)
        return level_dbfs if level_dbfs >= LEAST_LEVEL_DBFS else None
