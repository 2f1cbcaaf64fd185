"""What a station says of itself: its receivers, what it is, how it fares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heimdall_edge.publish.payload_base import (
    ClockPayload,
    Count,
    Decibels,
    Fraction,
    Hertz,
    Label,
    ModelPayload,
    Name,
    OutboxPayload,
    SamplesPayload,
    SchemaName,
    Seconds,
    SitePayload,
    Text,
    Timestamp,
    Wire,
)


class ReceiverSamplesPayload(SamplesPayload):
    """What became of the samples since the receiver was opened."""

    clipped_fraction: Fraction | None = None


class ReceiverPayload(Wire):
    """How a receiver fares."""

    schema_: Literal["heimdall.receiver/1"] = SchemaName
    station: Name
    id: Name
    state: Literal["starting", "running", "silent", "reconnecting", "failed", "disabled"]
    since: Timestamp
    reason: Text | None = None
    sample_rate_hz: Hertz | None = None
    gain_db: Decibels | None = None
    device: Text | None = None
    """What was opened, in words."""
    ppm: float | None = None
    """By how much its crystal is fast, estimated."""
    ppm_sigma: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of that."""
    samples: ReceiverSamplesPayload
    noise_floor_dbfs: dict[str, float] = Field(default_factory=dict)
    """Channel → tracked floor."""
    clock: ClockPayload
    given_up: list[Text] = Field(default_factory=list)
    """What is not worked on for want of CPU, in the order it was given up."""
    latitude: float | None = None
    longitude: float | None = None
    outbox: OutboxPayload | None = None
    """The station's; here only while it cannot use its disk."""
    published_at: Timestamp | None = None


class SoftwarePayload(Wire):
    """What runs."""

    name: Label = "heimdall-edge"
    version: Label
    python: Label | None = None
    onnxruntime: Label | None = None


class StationPayload(Wire):
    """Which station this is."""

    name: Name
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None


class InfoReceiverPayload(SitePayload):
    """A receiver as it is configured."""

    kind: Label
    enabled: bool = True
    channels: list[Name] = Field(default_factory=list)


class ChannelPayload(Wire):
    """A channel that is watched."""

    name: Name
    frequency_hz: Hertz
    bandwidth_hz: Hertz


class InfoModelPayload(ModelPayload):
    """A model that is loaded."""

    variant: Literal["active", "candidate", "fallback"]
    schema_name: Label | None = None
    """Its contract, such as ``locator/1``."""


class InfoPayload(Wire):
    """Who a station is, and what it runs; published at every connect and reload."""

    schema_: Literal["heimdall.info/1"] = Field("heimdall.info/1", alias="schema")
    software: SoftwarePayload
    station: StationPayload
    receivers: list[InfoReceiverPayload] = Field(default_factory=list)
    channels: list[ChannelPayload] = Field(default_factory=list)
    models: list[InfoModelPayload] = Field(default_factory=list)
    config_digest: Label | None = None
    """SHA-256 of the configuration in force."""
    problems: list[Text] = Field(default_factory=list)
    """What runs degraded, in words."""
    clock: ClockPayload | None = None
    """The host's."""
    started_at: Timestamp | None = None
    outbox: OutboxPayload | None = None
    published_at: Timestamp | None = None


class QuantilesPayload(Wire):
    """Of what was measured since the last message."""

    p50: float
    p95: float
    p99: float | None = None


class StatsPayload(Wire):
    """Counts since the start, and the state of this moment."""

    schema_: Literal["heimdall.stats/1"] = Field("heimdall.stats/1", alias="schema")
    station: Name
    uptime_s: Seconds
    observations: Count = 0
    scenes: Count = 0
    fixes: Count = 0
    """With a position."""
    refusals: dict[str, Count] = Field(default_factory=dict)
    """Reason → fixes without a position."""
    bursts_refused: dict[str, Count] = Field(default_factory=dict)
    samples: dict[str, SamplesPayload] = Field(default_factory=dict)
    """Receiver → what became of its samples."""
    latency_ms: dict[str, QuantilesPayload] = Field(default_factory=dict)
    """Stage → how long it took."""
    cpu_s: Seconds | None = None
    resident_bytes: Count | None = None
    acknowledged: dict[str, Count] = Field(default_factory=dict)
    """Kind → messages that the broker took."""
    outbox: OutboxPayload | None = None
    published_at: Timestamp | None = None
