"""Frames of a KiwiSDR as a test wants them, without a server."""

from __future__ import annotations

import numpy as np

from heimdall_edge.sources.kiwi_frames import Flag, SoundFrame
from heimdall_edge.sources.kiwi_stamps import NO_STAMP
from heimdall_edge.types import ClockSource, ClockState
from tests.emulators.kiwi_air import Meter

NS = 1_000_000_000
WEEK_NS = 604_800 * NS
GPS_EPOCH_NS, LEAP_NS = 315_964_800 * NS, 18 * NS
RATE_HZ = 12_001.14
NOMINAL_HZ = 12_001.135
BEGUN_UTC_NS = 1_790_000_000 * NS
FRAME_SAMPLES = 512
FULL_SCALE_DBM = -23.4


class Host:
    """A host's clocks that stand still until they are set."""

    def __init__(self, utc_ns=BEGUN_UTC_NS):
        self.now_ns, self._utc_ns = 0, utc_ns
        self.clock = ClockState(ClockSource.NTP, sigma_s=0.002, locked=True)

    def utc_ns(self):
        return self._utc_ns + self.now_ns

    def monotonic_ns(self):
        return self.now_ns


def true_utc_ns(sample, *, begun_utc_ns=BEGUN_UTC_NS):
    """When a sample was taken."""
    return begun_utc_ns + round(sample * NS / RATE_HZ)


def week_ns(utc_ns):
    return (utc_ns - GPS_EPOCH_NS + LEAP_NS) % WEEK_NS


def jitter_ns(sequence):
    """About 40 ns; the same for the same frame."""
    return round(np.random.default_rng(sequence).normal(0, 40))


def frame(
    sequence,
    *,
    missing_samples=0,
    off_ns=0,
    stamped=True,
    age_s=2,
    begun_utc_ns=BEGUN_UTC_NS,
    n_samples=FRAME_SAMPLES,
    level_dbm=None,
    payload=None,
):
    """The frame of a sequence number; ``missing_samples`` were lost unseen before it."""
    sample = sequence * FRAME_SAMPLES + missing_samples
    stamp = week_ns(true_utc_ns(sample, begun_utc_ns=begun_utc_ns) + off_ns + jitter_ns(sequence))
    return SoundFrame(
        flags=Flag.IQ,
        sequence=sequence,
        smeter_dbm=level_dbm,
        age_s=age_s if stamped else 0,
        stamp_ns=stamp if stamped else NO_STAMP,
        payload=bytes(4 * n_samples) if payload is None else payload,
    )


def metered(samples_of, numbers, *, full_scale_dbm=FULL_SCALE_DBM):
    """Frames with what the emulated meter, written from the server's description, makes of them."""
    meter = Meter(rate_hz=RATE_HZ, full_scale_dbm=full_scale_dbm)
    for n in numbers:
        samples = samples_of(n)
        reading = meter.read(samples)
        level_dbm = -127 + reading / 10 + 0.05 if 0 < reading < 1304 else None
        yield frame(n, level_dbm=level_dbm, payload=samples.astype(">i2").tobytes())
