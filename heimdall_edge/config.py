"""The configuration: every knob with its unit and its default, in one place.

TOML → strict, frozen models. :mod:`heimdall_edge.config_file` reads the file and words the faults.
``config/heimdall-edge.toml`` documents every key, and equals these defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from heimdall_edge.config_base import (
    Hertz,
    Latitude,
    Longitude,
    Name,
    Seconds,
    Sha256,
    Table,
)
from heimdall_edge.config_capture import Capture
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.config_simulation import Simulation
from heimdall_edge.types import ChannelSpec

BAND_SHARE = 0.98
"""Share of its sample rate in which a receiver's channels must lie: the rest is its own filter."""


class Station(Table):
    """Who and where this host is."""

    name: Name = "station"
    """Part of every topic; unique in the network."""
    latitude_deg: Latitude | None = None
    """The place of every receiver that names none."""
    longitude_deg: Longitude | None = None
    altitude_m: Annotated[float, Field(ge=-500, le=9_000)] = 0.0
    """Height of the ground above mean sea level."""

    @model_validator(mode="after")
    def _place_is_whole(self) -> Station:
        if (self.latitude_deg is None) != (self.longitude_deg is None):
            raise ValueError("latitude_deg and longitude_deg go together")
        return self


class Channel(Table):
    """A frequency to watch, and when a transmission on it begins and ends."""

    name: Name
    frequency_hz: Hertz
    bandwidth_hz: Hertz = 12_500.0
    mode: Literal["burst", "continuous"] = "burst"
    """``burst`` finds when it speaks; ``continuous`` cuts a lasting signal on a UTC grid."""
    open_db: Annotated[float, Field(gt=0, le=60)] = 8.0
    """Over the tracked noise floor, a transmission begins …"""
    close_db: Annotated[float, Field(gt=0, le=60)] = 5.0
    """… and under this it ends, after ``hang_s``."""
    hang_s: Annotated[float, Field(ge=0, le=60)] = 0.2
    """How long the level may fall within one transmission."""
    min_duration_s: Annotated[float, Field(ge=0, le=60)] = 0.05
    """Shorter ones are not reported."""
    max_duration_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Longer ones are cut at whole multiples of this in UTC, so that all receivers cut alike."""
    window_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    """The grid of ``continuous``: windows begin at whole multiples of this in UTC."""
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """Where the processor does not suffice, channels are given up from the lowest on."""
    tdoa_systematic_sigma_us: Annotated[float, Field(gt=0, le=10_000)] = 0.3
    """What no averaging takes off an arrival time: 0.3 in line of sight, 20 for LF ground wave."""

    @property
    def spec(self) -> ChannelSpec:
        return ChannelSpec(self.name, self.frequency_hz, self.bandwidth_hz)

    @model_validator(mode="after")
    def _thresholds_make_sense(self) -> Channel:
        if self.close_db > self.open_db:
            raise ValueError(
                f"close_db {self.close_db:g} is over open_db {self.open_db:g}: "
                "expected close_db <= open_db"
            )
        if self.min_duration_s >= self.max_duration_s:
            raise ValueError(
                f"min_duration_s {self.min_duration_s:g} expected under "
                f"max_duration_s {self.max_duration_s:g}"
            )
        return self


class Locator(Table):
    """How positions are inferred, and what is believed about the errors."""

    model_path: Path | None = None
    """An ONNX file of contract ``locator/1``; the built-in physics model when left out."""
    model_sha256: Sha256 | None = None
    """The file must have this hash, or it is refused."""
    service_radius_m: Annotated[float, Field(gt=0, le=1e6)] = 1_000.0
    """``confidence`` is the probability that the truth lies within this of the position."""
    min_receivers: Annotated[int, Field(ge=3, le=32)] = 3
    """Receivers that must have heard it; fewer publish a refusal."""
    wait_s: Annotated[float, Field(gt=0, le=600)] = 2.0
    """How long a scene waits for receivers that are late."""
    match_tolerance_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    """Observations of one transmission may differ by this much in time."""
    max_span_m: Annotated[float, Field(gt=0, le=2e7)] = 3_000_000.0
    """A receiver farther than this from the others' middle is left out as absurd."""
    tdoa: bool = True
    """Whether arrival times are measured where receivers share a clock."""
    systematic_sigma_m: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Added to every covariance, for receiver places that are not exact."""
    max_ood: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Over this share outside the model's domain, a position is refused."""


class Tls(Table):
    """Transport security; certificates are always verified."""

    enabled: bool = False
    ca_file: Path | None = None
    """The system's authorities when left out."""
    cert_file: Path | None = None
    key_file: Path | None = None


class OutboxBounds(Table):
    """How much the outbox keeps while the broker is away; the oldest goes first."""

    max_rows: Annotated[int, Field(ge=10, le=10_000_000)] = 100_000
    max_bytes: Annotated[int, Field(ge=65_536, le=2**40)] = 256 * 2**20
    max_age_s: Seconds = 7 * 86_400.0


class Mqtt(Table):
    """The broker, and what is sent to it."""

    enabled: bool = True
    host: Annotated[str, Field(min_length=1, max_length=253)] = "localhost"
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """1883, or 8883 with TLS, when left out."""
    username: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    password_file: Path | None = None
    """One line; systemd's credential ``mqtt-password`` when left out and there is one."""
    protocol: Literal["5", "3.1.1"] = "5"
    topic_root: Annotated[
        str, Field(pattern=r"^[-._A-Za-z0-9]{1,64}(/[-._A-Za-z0-9]{1,64}){0,7}$")
    ] = "heimdall/v1"
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    session_expiry_s: Annotated[int, Field(ge=0, le=2**32 - 2)] = 3600
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 20
    """Messages on their way at once; the rest wait on disk."""
    geojson: bool = False
    """Whether a fix carries its point and ellipse as GeoJSON too."""
    include_mel: bool = False
    """Whether an observation carries its mel spectrogram."""
    include_iq: bool = False
    """Whether an observation carries its IQ, where it was kept."""
    fix_last_expiry_s: Annotated[int, Field(ge=1, le=2**32 - 2)] = 3600
    """How long ``fix/last/<channel>`` stays with the broker."""
    stats_interval_s: Seconds = 60.0
    tls: Tls = Tls()
    outbox: OutboxBounds = OutboxBounds()

    @property
    def port_number(self) -> int:
        return self.port or (8883 if self.tls.enabled else 1883)


class Metrics(Table):
    """The Prometheus endpoint."""

    enabled: bool = True
    listen: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9463
    """0 takes any free one."""


class Logging(Table):
    """What the journal gets: one line an event."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["key_value", "json"] = "key_value"


class Config(Table):
    """The whole file."""

    state_dir: Path = Path("/var/lib/heimdall-edge")
    """Where the outbox lives; under systemd its state directory."""
    station: Station = Station()
    channels: tuple[Channel, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    capture: Capture = Capture()
    locator: Locator = Locator()
    mqtt: Mqtt = Mqtt()
    metrics: Metrics = Metrics()
    logging: Logging = Logging()
    simulation: Simulation = Simulation()

    def channels_of(self, receiver: Receiver) -> tuple[Channel, ...]:
        """The channels that a receiver watches."""
        if receiver.channels is None:
            return self.channels
        return tuple(c for c in self.channels if c.name in receiver.channels)
