"""Fix → ``heimdall.fix/1``.

A number that is not finite is absent where the contract lets it be, and a PayloadError elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from heimdall_edge.ellipse import principal_axes
from heimdall_edge.geojson import position_feature
from heimdall_edge.publish.encoding import clock_payload, faults_named, finite, milliseconds
from heimdall_edge.publish.payload_base import ModelPayload
from heimdall_edge.publish.payload_fix import (
    CirclePayload,
    EllipsePayload,
    FixPayload,
    FixReceiverPayload,
    LatencyPayload,
    PositionPayload,
    QualityPayload,
    UncertaintyPayload,
)
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import ArrivalTime, Fix, Observation, Position, SampleCount


@faults_named()
def fix_payload(
    fix: Fix, *, published_at_utc_ns: int, replayed: bool = False, geojson: bool = False
) -> dict[str, Any]:
    """A fix as it is published, ``heimdall.fix/1``; a refusal has no position, and a reason."""
    scene, identity = fix.scene, fix.model
    timestamp = rfc3339(scene.start_utc_ns)
    return FixPayload(
        schema_="heimdall.fix/1",
        fix_id=fix.fix_id,
        scene_id=scene.scene_id,
        station=fix.station,
        channel=scene.channel,
        frequency_hz=float(scene.frequency_hz),
        timestamp=timestamp,
        duration_s=float(scene.duration_s),
        published_at=rfc3339(published_at_utc_ns),
        replayed=replayed,
        reason=fix.reason,
        **_position_fields(fix.position),
        method=fix.method,
        receivers=_participants(scene.observations, scene.arrivals),
        model=ModelPayload(name=identity.name, version=identity.version, sha256=identity.sha256),
        model_version=identity.version,
        variant=fix.variant,
        quality=_quality(fix),
        inference_time_ms=milliseconds(fix.inference_time_s),
        latency_ms=LatencyPayload(**{k: milliseconds(s) for k, s in fix.latency_s.items()}),
        cache_hit=fix.cache_hit,
        geojson=position_feature(
            fix.position, {"fix_id": fix.fix_id, "channel": scene.channel, "timestamp": timestamp}
        )
        if geojson and fix.position
        else None,
    ).to_dict()


def _position_fields(position: Position | None) -> dict[str, Any]:
    if position is None:
        return {"position": None}
    ellipse, circle = position.ellipse, position.circle
    axes = principal_axes(position.covariance_enu_m2)
    return {
        "position": PositionPayload(
            latitude=float(position.latitude_deg), longitude=float(position.longitude_deg)
        ),
        "uncertainty": UncertaintyPayload(
            sigma_x=axes.sigma_x_m, sigma_y=axes.sigma_y_m, theta=axes.theta_deg
        ),
        "covariance_enu_m2": [float(value) for value in position.covariance_enu_m2],
        "ellipse": EllipsePayload(
            semi_major_m=float(ellipse.semi_major_m),
            semi_minor_m=float(ellipse.semi_minor_m),
            azimuth_deg=float(ellipse.azimuth_deg),
            probability=float(ellipse.probability),
        ),
        "circle": CirclePayload(
            radius_m=float(circle.radius_m), probability=float(circle.probability)
        ),
        "confidence": finite(position.confidence),
    }


def _participants(
    observations: Sequence[Observation], arrivals: Sequence[ArrivalTime | None]
) -> list[FixReceiverPayload]:
    measured = arrivals or (None,) * len(observations)
    return [_participant(o, arrival) for o, arrival in zip(observations, measured, strict=True)]


def _participant(observation: Observation, arrival: ArrivalTime | None) -> FixReceiverPayload:
    dbm, dbfs = finite(observation.level_dbm), finite(observation.level_dbfs)
    level = dbfs if dbm is None else dbm
    return FixReceiverPayload(
        id=observation.receiver.receiver_id,
        station=observation.receiver.station,
        heard=observation.heard,
        snr_db=finite(observation.snr_db),
        level=level,
        level_unit=None if level is None else ("dBFS" if dbm is None else "dBm"),
        toa_us=finite(arrival.toa_us) if arrival else None,
        toa_sigma_us=finite(arrival.sigma_us) if arrival else None,
        toa_is_outlier=arrival.is_outlier if arrival else None,
    )


def _quality(fix: Fix) -> QualityPayload:
    heard = fix.scene.heard
    count = sum((o.count for o in heard), SampleCount())
    worst = max(
        (o.clock for o in heard),
        key=lambda c: (not c.locked, math.inf if c.sigma_s is None else c.sigma_s),
        default=None,
    )
    return QualityPayload(
        clock=clock_payload(worst) if worst else None,
        lost=count.lost,
        dropped=count.dropped,
        clipped_fraction=max((float(o.clipped_fraction) for o in heard), default=None),
        ood=finite(fix.ood),
    )
