"""Made-up scenes: what ten receivers on a ring say of a transmitter inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from heimdall_edge.geodesy import SPEED_OF_LIGHT_M_S, LocalFrame
from heimdall_edge.signal.measure import observation_id
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    Complex64,
    IQSnippet,
    Observation,
    Place,
    ReceiverInfo,
    frozen_array,
)

STATION = "bench"
N_RECEIVERS = 10
DURATION_S = 1.8
FREQUENCY_HZ = 446_006_250.0
FLOOR_DBFS = -95.0
LIMIT_DBFS = FLOOR_DBFS + 8.0
SNIPPET_RATE_HZ = 18_750.0
"""About what a channel of 12.5 kHz has."""
_RING_M, _INSIDE_M = 8_000.0, 5_000.0
_LEVEL_AT_1_KM_DBFS, _EXPONENT, _SHADOWING_DB = -40.0, 3.0, 6.0
_SNIPPET_SNR_DB = 20.0
_DEVIATION_HZ = 2_000.0
_FRAME = LocalFrame(Place(45.07, 7.69))


@dataclass(frozen=True, slots=True, eq=False)
class Receiver:
    """A receiver, and where it stands, metres east and north of the middle."""

    info: ReceiverInfo
    east_m: float
    north_m: float


def ring() -> list[Receiver]:
    """The receivers, all alike but for their places."""
    receivers = []
    for i in range(N_RECEIVERS):
        angle = 2 * math.pi * i / N_RECEIVERS
        east_m, north_m = _RING_M * math.sin(angle), _RING_M * math.cos(angle)
        latitude_deg, longitude_deg = _FRAME.from_enu_m(east_m, north_m)
        place = Place(float(latitude_deg), float(longitude_deg))
        info = ReceiverInfo(STATION, f"rx{i}", place, level_offset_sd_db=4.0)
        receivers.append(Receiver(info, east_m, north_m))
    return receivers


def heard_by(
    receivers: list[Receiver], *, n_shared: int, rng: np.random.Generator
) -> list[Observation]:
    """What they say of a transmitter at a random place; ``n_shared`` share a clock."""
    radius_m = _INSIDE_M * math.sqrt(rng.uniform())
    angle = rng.uniform(0, 2 * math.pi)
    east_m, north_m = radius_m * math.sin(angle), radius_m * math.cos(angle)
    speech = _speech(rng) if n_shared else None
    observations = []
    for i, receiver in enumerate(receivers):
        distance_m = math.hypot(receiver.east_m - east_m, receiver.north_m - north_m)
        loss_db = 10 * _EXPONENT * math.log10(distance_m / 1e3)
        level_dbfs = _LEVEL_AT_1_KM_DBFS - loss_db + rng.normal(0, _SHADOWING_DB)
        observation = Observation(
            observation_id="",
            receiver=receiver.info,
            channel="",
            frequency_hz=FREQUENCY_HZ,
            start_utc_ns=0,
            duration_s=DURATION_S,
            noise_floor_dbfs=FLOOR_DBFS,
            level_dbfs=level_dbfs,
            snr_db=level_dbfs - FLOOR_DBFS,
        )
        if speech is not None and i < n_shared:
            iq = _received(speech, distance_m / SPEED_OF_LIGHT_M_S, rng)
            observation = replace(
                observation,
                clock=ClockState(ClockSource.GNSS, 1e-7, locked=True),
                snippet=IQSnippet(iq, SNIPPET_RATE_HZ, 0),
            )
        observations.append(observation)
    return observations


def at(observation: Observation, channel: str, start_utc_ns: int) -> Observation:
    """The same on some channel, at some time."""
    snippet = observation.snippet
    return replace(
        observation,
        channel=channel,
        start_utc_ns=start_utc_ns,
        observation_id=observation_id(
            station=STATION,
            receiver_id=observation.receiver.receiver_id,
            channel=channel,
            start_utc_ns=start_utc_ns,
        ),
        snippet=replace(snippet, start_utc_ns=start_utc_ns) if snippet else None,
    )


def _speech(rng: np.random.Generator) -> Complex64:
    """Noise of a voice's bandwidth, frequency modulated, complex64 [n_samples]."""
    n_samples = round(DURATION_S * SNIPPET_RATE_HZ)
    voice = np.convolve(rng.standard_normal(n_samples), np.ones(8) / math.sqrt(8), "same")
    phase = np.cumsum(2 * np.pi * _DEVIATION_HZ / SNIPPET_RATE_HZ * np.clip(voice, -2, 2))
    return np.asarray(np.exp(1j * phase), np.complex64)


def _received(speech: Complex64, delay_s: float, rng: np.random.Generator) -> Complex64:
    """Later, and with noise."""
    bins_hz = scipy.fft.fftfreq(len(speech), 1 / SNIPPET_RATE_HZ)
    delayed = scipy.fft.ifft(scipy.fft.fft(speech) * np.exp(-2j * np.pi * bins_hz * delay_s))
    pairs = rng.standard_normal((len(speech), 2), np.float32)
    noise = pairs.view(np.complex64)[:, 0] * 10 ** (-_SNIPPET_SNR_DB / 20) / math.sqrt(2)
    return frozen_array((delayed + noise).astype(np.complex64))
