"""Burst → observation: level, floor, SNR, occupied bandwidth, offset, clipping."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np

from heimdall_edge.errors import BurstError
from heimdall_edge.signal.floor import LEAST_NOISE_POWER
from heimdall_edge.signal.mel import MelProfile, mel_spectrogram
from heimdall_edge.signal.occupancy import LEAST_SAMPLES, ChannelSpectrum, occupancy
from heimdall_edge.types import Burst, IQSnippet, Mel, Observation, Place, ReceiverInfo

LEAST_SNR_DB = -30.0
"""What is published when a burst is no stronger than the noise."""


def observation_id(*, station: str, receiver_id: str, channel: str, start_utc_ns: int) -> str:
    """16 hexadecimal digits that any host derives alike from who heard it, where and when."""
    text = "\n".join((station, receiver_id, channel, str(start_utc_ns)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def power_to_dbfs(power: float) -> float:
    """Level of a linear power, at least -150 dBFS: the floor of any converter."""
    return 10 * math.log10(max(power, LEAST_NOISE_POWER))


def snr_db(power: float, noise_power: float) -> float:
    """Signal alone over noise, from the total power; at least -30 dB."""
    ratio = (power - noise_power) / noise_power
    return 10 * math.log10(max(ratio, 10 ** (LEAST_SNR_DB / 10)))


def measure(
    burst: Burst,
    *,
    receiver: ReceiverInfo,
    gain_db: float | None = None,
    mel: MelProfile | None = None,
    snippet: bool = False,
    detected_monotonic_s: float | None = None,
) -> Observation:
    """Measure a burst.

    Parameters
    ----------
    receiver
        Who heard it. A burst that knows its place overrides the configured one, but for the
        antenna's height above the ground.
    gain_db
        The receiver's fixed gain, where the burst does not say.
    mel
        The spectrogram to attach, if any.
    snippet
        Whether to attach the IQ, for arrival times.

    Returns
    -------
    Observation
        Powers are those in the channel's bandwidth. A noise floor under -150 dBFS (a perfect
        recording) is taken as -150 dBFS, so that every figure stays finite.

    Raises
    ------
    BurstError
        By reason: ``too_short``, ``non_finite`` or ``bad_noise_floor``.
    """
    channel = burst.channel
    power = _mean_power(burst)
    noise_power = max(burst.noise_power, LEAST_NOISE_POWER)
    spectrum = ChannelSpectrum.of(
        burst.iq, sample_rate_hz=burst.sample_rate_hz, bandwidth_hz=channel.bandwidth_hz
    )
    power *= spectrum.share_in_channel
    occupied = occupancy(spectrum, noise_power=noise_power)
    return Observation(
        observation_id=observation_id(
            station=receiver.station,
            receiver_id=receiver.receiver_id,
            channel=channel.name,
            start_utc_ns=burst.start_utc_ns,
        ),
        receiver=_sited(receiver, burst.place),
        channel=channel.name,
        frequency_hz=channel.frequency_hz,
        start_utc_ns=burst.start_utc_ns,
        duration_s=burst.duration_s,
        noise_floor_dbfs=power_to_dbfs(noise_power),
        level_dbfs=power_to_dbfs(power),
        level_dbm=_dbm(power, burst.full_scale_dbm),
        noise_floor_dbm=_dbm(noise_power, burst.full_scale_dbm),
        gain_db=gain_db if burst.gain_db is None else burst.gain_db,
        snr_db=snr_db(power, noise_power),
        bandwidth_hz=occupied.bandwidth_hz if occupied else None,
        frequency_offset_hz=occupied.centroid_hz if occupied else None,
        count=burst.count,
        clipped_fraction=burst.count.clipped_fraction,
        clock=burst.clock,
        frequency_error=burst.frequency_error,
        mel=_mel(burst, noise_power, mel) if mel else None,
        snippet=IQSnippet(burst.iq, burst.sample_rate_hz, burst.start_utc_ns) if snippet else None,
        detected_monotonic_s=detected_monotonic_s,
    )


def _dbm(power: float, full_scale_dbm: float | None) -> float | None:
    """Level at the antenna of a linear power, where that of full scale is known."""
    return None if full_scale_dbm is None else power_to_dbfs(power) + full_scale_dbm


def _mean_power(burst: Burst) -> float:
    """Mean power of all samples, linear; refuses what cannot be measured."""
    n_samples = len(burst.iq)
    if n_samples < LEAST_SAMPLES:
        raise BurstError(
            "too_short",
            f"burst on {burst.channel.name} has {n_samples} samples: "
            f"expected at least {LEAST_SAMPLES}",
        )
    if not (math.isfinite(burst.noise_power) and burst.noise_power >= 0):
        raise BurstError(
            "bad_noise_floor",
            f"burst on {burst.channel.name} has noise power {burst.noise_power}: "
            "expected a finite number, not negative",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        power = float(np.vdot(burst.iq, burst.iq).real) / n_samples
    if not math.isfinite(power):
        raise BurstError(
            "non_finite",
            f"burst on {burst.channel.name} holds samples that are not finite or absurdly large: "
            "expected full scale 1.0",
        )
    return power


def _sited(receiver: ReceiverInfo, place: Place | None) -> ReceiverInfo:
    if place is None:
        return receiver
    height_m = receiver.place.antenna_height_m
    return replace(receiver, place=replace(place, antenna_height_m=height_m))


def _mel(burst: Burst, noise_power: float, profile: MelProfile) -> Mel:
    return mel_spectrogram(
        burst.iq,
        burst.sample_rate_hz,
        noise_power,
        profile,
        noise_bandwidth_hz=burst.channel.bandwidth_hz,
    )
