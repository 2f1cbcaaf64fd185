"""Blocks and measurements for the survey's tests."""

from __future__ import annotations

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.config_file import parse_config
from heimdall_edge.survey.meter import Meter
from heimdall_edge.types import NS_PER_S, IQBlock, Place, ReceiverInfo, frozen_array

RATE_HZ = 250e3
CENTER_HZ = 446.05e6
START_UTC_NS = 1_790_000_000 * NS_PER_S
CHANNELS = (
    Channel(name="pmr1", frequency_hz=446.0e6),
    Channel(name="pmr8", frequency_hz=446.1e6),
)
RECEIVER = ReceiverInfo("alps", "rx1", Place(45.0, 7.0))


def samples(duration_s, *tones, noise_dbfs=-40.0, dc=0.0, seed=1):
    """complex128: noise, and tones of (from, to, hertz off the centre, dBFS)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    iq = rng.standard_normal((len(t), 2)) @ [1, 1j] * np.sqrt(0.5) * 10 ** (noise_dbfs / 20)
    for start_s, end_s, hz, level_dbfs in tones:
        is_on = (t >= start_s) & (t < end_s)
        iq += 10 ** (level_dbfs / 20) * np.exp(2j * np.pi * hz * t) * is_on
    return iq + dc


def digitised(iq, datatype):
    interleaved = np.stack([iq.real, iq.imag], axis=1).ravel()
    if datatype == "cu8":
        return np.clip(np.round(interleaved * 127.5 + 127.5), 0, 255).astype(np.uint8)
    if datatype == "ci16_le":
        return np.clip(np.round(interleaved * 32_768), -32_768, 32_767).astype("<i2")
    return interleaved.astype("<f4")


def blocks(iq, *, datatype="cu8", n_samples=16_384, center_hz=CENTER_HZ, **fields):
    data = digitised(iq, datatype)
    return [
        IQBlock(
            frozen_array(data[2 * first : 2 * (first + n_samples)].copy()),
            datatype,
            RATE_HZ,
            center_hz,
            first,
            START_UTC_NS + round(first * NS_PER_S / RATE_HZ),
            **fields,
        )
        for first in range(0, len(iq), n_samples)
    ]


def metered(made, *, channels=CHANNELS, late_ns=0, **fields):
    """What a meter says of blocks that arrive when they end, by the host's clock."""
    meter = Meter(made[0], receiver=RECEIVER, channels=channels, **fields)
    for number, block in enumerate(made):
        meter.feed(block, arrived_monotonic_ns=block.end_utc_ns + number * late_ns)
    return meter.result()


def receiver_of(text="", *, kind="rtlsdr"):
    """A configured receiver with more lines of TOML."""
    base = f"""
[station]
latitude_deg = 45.0
longitude_deg = 7.0
[[channels]]
name = "pmr1"
frequency_hz = 446.0e6
[[receivers]]
id = "rx1"
kind = "{kind}"
sample_rate_hz = {RATE_HZ}
"""
    if "agc" not in text:
        base += "gain_db = 20.0\n"
    if "scan" not in text:
        base += f"center_freq_hz = {CENTER_HZ}\n"
    return parse_config(base + text).receivers[0]
