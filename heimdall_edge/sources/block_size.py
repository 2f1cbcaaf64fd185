"""How many samples a live receiver's block holds."""

from __future__ import annotations

FULL_SAMPLES, FULL_RATE_HZ = 65_536, 1e6
SLOW_BLOCK_S = 0.05
"""Long enough to be worth a hand-over, short enough to be heard of soon."""


def block_samples(sample_rate_hz: float) -> int:
    """Samples a block: 27 ms at 2.4 Msps, 50 ms below 1 Msps; one at least."""
    if sample_rate_hz >= FULL_RATE_HZ:
        return FULL_SAMPLES
    return max(1, round(sample_rate_hz * SLOW_BLOCK_S))
