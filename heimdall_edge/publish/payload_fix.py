"""The published format of a fix, ``heimdall.fix/1``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from heimdall_edge.publish.payload_base import (
    ONE_SIGMA,
    ClockPayload,
    Count,
    Fraction,
    Hertz,
    Label,
    Metres,
    ModelPayload,
    Name,
    SchemaName,
    Seconds,
    Timestamp,
    Wire,
)


class PositionPayload(Wire):
    """Degrees, WGS-84."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class UncertaintyPayload(Wire):
    """The older trio: one σ along each principal axis."""

    sigma_x: Metres
    """Along the major axis, metres."""
    sigma_y: Metres
    """Along the minor axis, metres."""
    theta: Annotated[float, Field(gt=-90, le=90)]
    """Direction of the major axis, degrees counter-clockwise from east."""
    confidence_interval: float = ONE_SIGMA
    """What ±1σ holds along a single axis; what an ellipse holds is in ``ellipse``."""


class EllipsePayload(Wire):
    """Holds the truth with ``probability``."""

    semi_major_m: Metres
    semi_minor_m: Metres
    azimuth_deg: Annotated[float, Field(ge=0, lt=180)]
    """Of the major axis, clockwise from true north."""
    probability: Fraction


class CirclePayload(Wire):
    """Round the position; holds the truth with ``probability``."""

    radius_m: Metres
    probability: Fraction


class FixReceiverPayload(Wire):
    """One receiver that took part."""

    id: Name
    station: Name
    heard: bool
    snr_db: float | None = None
    level: float | None = None
    level_unit: Literal["dBm", "dBFS"] | None = None
    toa_us: float | None = None
    """Arrival time, relative to a zero that is common to this fix."""
    toa_sigma_us: float | None = None
    toa_is_outlier: bool | None = None
    """Disagrees with the others; published, not used."""


class QualityPayload(Wire):
    """How sound the very window was that was localised."""

    clock: ClockPayload | None = None
    """The worst of those that heard it."""
    lost: Count = 0
    dropped: Count = 0
    clipped_fraction: Fraction | None = None
    """The worst of those that heard it."""
    ood: Fraction | None = None
    """Distance from the model's training domain."""


class LatencyPayload(Wire):
    """What each stage took, milliseconds."""

    detect: float | None = None
    features: float | None = None
    infer: float | None = None
    publish: float | None = None
    """From the fix to handing it to the client; absent in what was replayed."""


class FixPayload(Wire):
    """Where a transmitter is, or why that cannot be said."""

    schema_: Literal["heimdall.fix/1"] = SchemaName
    fix_id: Label
    """The same for the same input: drop what you have seen."""
    scene_id: Label | None = None
    station: Name
    channel: Name
    frequency_hz: Hertz
    timestamp: Timestamp
    """Start of the transmission."""
    duration_s: Seconds
    published_at: Timestamp
    replayed: bool
    """True: it waited for the connection."""
    expires_at: Timestamp | None = None
    """In ``fix/last`` only: when it is no longer worth showing."""
    position: PositionPayload | None
    reason: Label | None = None
    """Why there is no position."""
    uncertainty: UncertaintyPayload | None = None
    covariance_enu_m2: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    """[ee, en, nn]"""
    ellipse: EllipsePayload | None = None
    circle: CirclePayload | None = None
    confidence: Fraction | None = None
    """Probability that the truth lies within the station's service radius of the position."""
    method: Literal["rss", "tdoa", "rss+tdoa", "single_receiver_prior"] | None = None
    receivers: list[FixReceiverPayload]
    model: ModelPayload
    model_version: Label
    variant: Literal["active", "candidate", "fallback"]
    quality: QualityPayload
    inference_time_ms: Annotated[float, Field(ge=0)]
    latency_ms: LatencyPayload
    cache_hit: bool = Field(alias="_cache_hit")
    geojson: dict[str, JsonValue] | None = None
    """Feature with the point, and the polygon of ``ellipse``."""

    def to_dict(self) -> dict[str, Any]:
        """The object as it goes out: a refusal says ``"position": null``."""
        return {**super().to_dict(), **({} if self.position else {"position": None})}
