"""Made-up IQ at the rate of an RTL-SDR: noise of a dongle's usual level, and bursts on channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.config import Channel
from heimdall_edge.types import NS_PER_S, IQBlock, frozen_array

SAMPLE_RATE_HZ = 2.4e6
CENTER_FREQ_HZ = 446e6
BANDWIDTH_HZ = 12_500.0
BLOCK_SAMPLES = (65_536, 262_144)
N_SAMPLES = 9 * 262_144
"""About a second, in whole blocks of either size: it is played round and round."""
ACTIVE_EACH = 4
"""One channel in so many carries a burst in each round; the first does."""
FIRST_UTC_NS = 1_790_000_000 * NS_PER_S
_NOISE_STEPS, _CARRIER_STEPS, _ZERO_STEPS = 10.0, 8.0, 127.4
_BURST_S = (0.3, 0.7)
_TONE_HZ, _DEVIATION_HZ = 700.0, 1_500.0


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Channels spread over a receiver's band, and what was received."""

    channels: tuple[Channel, ...]
    samples: NDArray[np.uint8]
    """uint8 [2 * N_SAMPLES]: cu8, I and Q by turns; read-only."""

    @classmethod
    def of(cls, n_channels: int) -> Band:
        """A round with frequency-modulated bursts on one channel in four, 25 dB over the noise."""
        offsets_hz = np.linspace(-0.45, 0.45, n_channels + 2)[1:-1] * SAMPLE_RATE_HZ
        noise = np.random.default_rng(1).standard_normal(2 * N_SAMPLES, np.float32)
        iq = (_NOISE_STEPS * noise).view(np.complex64)
        first, stop = (round(at_s * SAMPLE_RATE_HZ) for at_s in _BURST_S)
        time_s = np.arange(first, stop) / SAMPLE_RATE_HZ
        swing = _DEVIATION_HZ / _TONE_HZ * np.sin(2 * np.pi * _TONE_HZ * time_s)
        for offset_hz in offsets_hz[::ACTIVE_EACH]:
            phase = 2 * np.pi * offset_hz * time_s + swing
            iq[first:stop] += _CARRIER_STEPS * np.exp(1j * phase).astype(np.complex64)
        steps = np.clip(np.rint(iq.view(np.float32) + np.float32(_ZERO_STEPS)), 0, 255)
        channels = tuple(
            Channel(
                name=f"channel-{i}",
                frequency_hz=CENTER_FREQ_HZ + offset_hz,
                bandwidth_hz=BANDWIDTH_HZ,
            )
            for i, offset_hz in enumerate(offsets_hz.tolist())
        )
        return cls(channels, frozen_array(steps.astype(np.uint8)))

    @property
    def n_active(self) -> int:
        """Channels with a burst in each round."""
        return len(self.channels[::ACTIVE_EACH])

    def blocks(self, n_samples: int) -> Iterator[IQBlock]:
        """Blocks that follow each other, for ever."""
        sample_start = 0
        while True:
            at = sample_start % N_SAMPLES
            yield IQBlock(
                samples=self.samples[2 * at : 2 * (at + n_samples)],
                datatype="cu8",
                sample_rate_hz=SAMPLE_RATE_HZ,
                center_freq_hz=CENTER_FREQ_HZ,
                sample_start=sample_start,
                start_utc_ns=FIRST_UTC_NS + round(sample_start * NS_PER_S / SAMPLE_RATE_HZ),
            )
            sample_start += n_samples
