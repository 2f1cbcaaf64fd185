"""Blocks of a receiver that hears two channels, and what its chain says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.config_capture import Capture
from heimdall_edge.evidence.clip import Clip
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.types import (
    NS_PER_S,
    ClockSource,
    ClockState,
    IQBlock,
    Observation,
    Place,
    ReceiverInfo,
    frozen_array,
)

RATE_HZ = 250e3
CENTER_HZ = 446.05e6
START_UTC_NS = 1_790_000_000 * NS_PER_S
BLOCK_SAMPLES = 12_500
"""50 ms."""
CHANNELS = (
    Channel(name="pmr1", frequency_hz=446.0e6),
    Channel(name="pmr8", frequency_hz=446.1e6),
)
RECEIVER = ReceiverInfo("alps", "rx1", Place(45.0, 7.0, 1200.0, 10.0))
GNSS = ClockState(ClockSource.GNSS, 1e-7, locked=True)


def rule(**fields) -> Capture:
    return Capture(**{"enabled": True, "before_s": 0.5, "after_s": 0.25, **fields})


def blocks(duration_s: float, *tones: tuple[float, float, float], **fields) -> list[IQBlock]:
    """Noise at -40 dBFS, and tones of -20 dBFS: (from, to, hertz off the centre)."""
    rng = np.random.default_rng(1)
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    iq = 0.01 * np.sqrt(0.5) * (rng.standard_normal((len(t), 2)) @ [1, 1j])
    for start_s, end_s, hz in tones:
        iq += 0.1 * np.exp(2j * np.pi * hz * t) * ((t >= start_s) & (t < end_s))
    interleaved = np.stack([iq.real, iq.imag], axis=1).ravel() * 127.5 + 127.5
    data = np.clip(np.round(interleaved), 0, 255).astype(np.uint8)
    return [
        IQBlock(
            frozen_array(data[2 * first : 2 * (first + BLOCK_SAMPLES)].copy()),
            "cu8",
            RATE_HZ,
            CENTER_HZ,
            first,
            START_UTC_NS + round(first * NS_PER_S / RATE_HZ),
            **{"clock": GNSS, "gain_db": 30.0, **fields},
        )
        for first in range(0, len(t), BLOCK_SAMPLES)
    ]


def with_gap(made: list[IQBlock], at: int, lost: int) -> list[IQBlock]:
    """The same blocks, some samples later from one of them on."""
    late_ns = round(lost * NS_PER_S / RATE_HZ)
    return [
        replace(
            block,
            sample_start=block.sample_start + lost,
            start_utc_ns=block.start_utc_ns + late_ns,
            lost_samples=lost if i == at else 0,
        )
        if i >= at
        else block
        for i, block in enumerate(made)
    ]


def observation(start_s=1.0, duration_s=1.0, *, channel="pmr1", **fields) -> Observation:
    number = round(start_s * 1000)
    spec = next(c for c in CHANNELS if c.name == channel)
    return Observation(
        **{
            "observation_id": f"{number:08x}{channel.encode().hex():0>8}",
            "receiver": RECEIVER,
            "channel": channel,
            "frequency_hz": spec.frequency_hz,
            "start_utc_ns": START_UTC_NS + round(start_s * NS_PER_S),
            "duration_s": duration_s,
            "noise_floor_dbfs": -53.0,
            "level_dbfs": -50.0,
            "snr_db": 20.0,
            **fields,
        }
    )


def clip(made: list[IQBlock], *observations: Observation, whole_band=True) -> Clip:
    names = {o.channel for o in observations}
    channels = tuple(c.spec for c in CHANNELS if c.name in names)
    return Clip(RECEIVER, channels, whole_band, tuple(made), observations)


def observed(made: list[IQBlock]) -> list[Observation]:
    """What the signal chain finds in blocks."""
    chain = SignalChain(receiver=RECEIVER, channels=CHANNELS, gain_db=30.0)
    found = [o for block in made for o in chain.process(block).observations]
    return [*found, *chain.flush().observations]
