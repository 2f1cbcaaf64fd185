"""Observation ⇄ ``heimdall.observation/1``, one line of JSON."""

from __future__ import annotations

import math
from typing import Any

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.arrays import iq_from, iq_payload, mel_from, mel_payload
from heimdall_edge.publish.encoding import (
    clock_payload,
    faults_named,
    finite,
    frequency_error_payload,
    read_object,
    samples_payload,
)
from heimdall_edge.publish.payload_base import (
    ClockPayload,
    FrequencyErrorPayload,
    SamplesPayload,
    SitePayload,
)
from heimdall_edge.publish.payload_observation import ObservationPayload
from heimdall_edge.signal.measure import observation_id
from heimdall_edge.timestamps import rfc3339, utc_ns
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    FrequencyError,
    Observation,
    Place,
    ReceiverInfo,
    SampleCount,
)

MAX_LINE_BYTES = 4 * 2**20
"""The longest line that is read: a minute of 12 kHz IQ, with room."""


@faults_named()
def observation_payload(
    observation: Observation, *, include_mel: bool = False, include_iq: bool = False
) -> dict[str, Any]:
    """An observation as it is published, ``heimdall.observation/1``."""
    with_mel = observation.mel if include_mel else None
    with_iq = observation.snippet if include_iq else None
    started_at_utc_ns = observation.start_utc_ns // 1_000 * 1_000  # what the line can say
    return ObservationPayload(
        schema_="heimdall.observation/1",
        observation_id=observation.observation_id,
        station=observation.receiver.station,
        receiver=_site(observation.receiver),
        channel=observation.channel,
        frequency_hz=float(observation.frequency_hz),
        started_at=rfc3339(observation.start_utc_ns),
        duration_s=float(observation.duration_s),
        heard=observation.heard,
        scene_id=observation.scene_id,
        levels_compare=None if _has_levels(observation) else False,
        level_dbfs=finite(observation.level_dbfs),
        level_dbm=finite(observation.level_dbm),
        gain_db=finite(observation.gain_db),
        snr_db=finite(observation.snr_db),
        noise_floor_dbfs=finite(observation.noise_floor_dbfs),
        noise_floor_dbm=finite(observation.noise_floor_dbm),
        bandwidth_hz=finite(observation.bandwidth_hz),
        frequency_offset_hz=finite(observation.frequency_offset_hz),
        clipped_fraction=float(observation.clipped_fraction),
        samples=samples_payload(observation.count),
        clock=clock_payload(observation.clock),
        frequency_error=frequency_error_payload(observation.frequency_error),
        mel=mel_payload(with_mel) if with_mel else None,
        iq=iq_payload(with_iq, started_utc_ns=started_at_utc_ns) if with_iq else None,
    ).to_dict()


def parse_observation(line: str | bytes, *, max_bytes: int = MAX_LINE_BYTES) -> Observation:
    """Read one line of ``heimdall.observation/1``.

    Raises
    ------
    PayloadError
        ``field`` is the path of what is wrong, empty where the line is no JSON object at all.
    """
    payload = _read_observation(line, max_bytes)
    payload = _without_levels(payload) if payload.levels_compare is False else payload
    _check_levels(payload)
    start_utc_ns = utc_ns(payload.started_at)
    samples = payload.samples or SamplesPayload()
    clipped_fraction = payload.clipped_fraction or 0.0
    clipped = samples.clipped
    if clipped is None:
        clipped = round(clipped_fraction * samples.received)
    return Observation(
        observation_id=payload.observation_id
        or observation_id(
            station=payload.station,
            receiver_id=payload.receiver.id,
            channel=payload.channel,
            start_utc_ns=start_utc_ns,
        ),
        receiver=_receiver_info(payload),
        channel=payload.channel,
        frequency_hz=payload.frequency_hz,
        start_utc_ns=start_utc_ns,
        duration_s=payload.duration_s,
        noise_floor_dbfs=payload.noise_floor_dbfs,
        heard=payload.heard,
        level_dbfs=payload.level_dbfs,
        level_dbm=payload.level_dbm,
        noise_floor_dbm=payload.noise_floor_dbm,
        gain_db=payload.gain_db,
        snr_db=payload.snr_db,
        bandwidth_hz=payload.bandwidth_hz,
        frequency_offset_hz=payload.frequency_offset_hz,
        count=SampleCount(samples.received, samples.lost, samples.dropped, clipped),
        clipped_fraction=clipped_fraction,
        clock=_clock_state(payload.clock),
        frequency_error=_frequency_error(payload.frequency_error),
        scene_id=payload.scene_id,
        mel=mel_from(payload.mel) if payload.mel else None,
        snippet=iq_from(payload.iq, started_utc_ns=start_utc_ns) if payload.iq else None,
    )


def _read_observation(line: str | bytes, max_bytes: int) -> ObservationPayload:
    found = read_object(line, max_bytes=max_bytes)
    # A line that somebody wrote by hand need not say what the file is said to hold.
    found.setdefault("schema", "heimdall.observation/1")
    with faults_named():
        return ObservationPayload.model_validate(found)


def _has_levels(observation: Observation) -> bool:
    """Whether it says how strong it was, or how low it could hear."""
    if observation.heard:
        return observation.level_dbfs is not None or observation.level_dbm is not None
    return observation.noise_floor_dbfs is not None or observation.noise_floor_dbm is not None


def _without_levels(payload: ObservationPayload) -> ObservationPayload:
    """Levels that do not compare are not to be compared, whoever wrote them; no silence either."""
    dropped = ["level_dbfs", "level_dbm", "noise_floor_dbm"]
    if not payload.heard:
        dropped.append("noise_floor_dbfs")
    return payload.model_copy(update=dict.fromkeys(dropped))


def _check_levels(payload: ObservationPayload) -> None:
    """What was heard has a level; what was not has a limit; unless it says that it has none."""
    if payload.levels_compare is False:
        return
    quantity = "level" if payload.heard else "noise_floor"
    if getattr(payload, f"{quantity}_dbfs") is None and getattr(payload, f"{quantity}_dbm") is None:
        raise PayloadError(
            f"{quantity}_dbfs: absent: heard {str(payload.heard).lower()} needs "
            f"{quantity}_dbfs or {quantity}_dbm",
            field=f"{quantity}_dbfs",
        )


def _receiver_info(payload: ObservationPayload) -> ReceiverInfo:
    """A place that is not said is not a number: whoever locates leaves it out, and counts it."""
    site = payload.receiver
    return ReceiverInfo(
        station=payload.station,
        receiver_id=site.id,
        place=Place(
            latitude_deg=math.nan if site.latitude is None else site.latitude,
            longitude_deg=math.nan if site.longitude is None else site.longitude,
            altitude_m=site.altitude_m or 0.0,
            antenna_height_m=site.antenna_height_m or 0.0,
        ),
        level_offset_db=site.level_offset_db or 0.0,
        level_offset_sd_db=site.level_offset_sd_db,
    )


def _site(receiver: ReceiverInfo) -> SitePayload:
    place = receiver.place
    return SitePayload(
        id=receiver.receiver_id,
        latitude=finite(place.latitude_deg),
        longitude=finite(place.longitude_deg),
        altitude_m=finite(place.altitude_m),
        antenna_height_m=finite(place.antenna_height_m),
        level_offset_db=finite(receiver.level_offset_db) or None,
        level_offset_sd_db=finite(receiver.level_offset_sd_db),
    )


def _frequency_error(error: FrequencyErrorPayload | None) -> FrequencyError | None:
    return None if error is None else FrequencyError(error.ppm, error.sigma_ppm)


def _clock_state(clock: ClockPayload | None) -> ClockState:
    if clock is None:
        return ClockState()
    return ClockState(ClockSource(clock.source), clock.sigma_s, clock.locked)
