"""The configuration: every knob with its unit and its default, in one place.

TOML → strict, frozen models. :mod:`heimdall_edge.config_file` reads the file and words the faults.
``config/heimdall-edge.toml`` documents every key, and equals these defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from heimdall_edge.config_base import (
    Decibels,
    Hertz,
    Latitude,
    Longitude,
    Name,
    Seconds,
    Sha256,
    Table,
)
from heimdall_edge.config_simulation import SimulatedReceiver, Simulation
from heimdall_edge.types import ChannelSpec, ClockSource, SampleFormat

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


class Clock(Table):
    """What disciplines a receiver's time stamps, where the source does not say so itself."""

    source: Literal["none", "ntp", "ptp", "gnss"] = "none"
    """``gnss`` and ``ptp`` share a time base: arrival times are measured between such receivers."""
    sigma_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Standard deviation of a stamp."""

    @model_validator(mode="after")
    def _shared_needs_sigma(self) -> Clock:
        if self.source in {"gnss", "ptp"} and self.sigma_s is None:
            raise ValueError(f"source {self.source!r} needs sigma_s, such as 1e-7")
        return self

    @property
    def clock_source(self) -> ClockSource:
        return ClockSource(self.source)


class Recording(Table):
    """A file that is played as a receiver."""

    path: Path
    """``*.sigmf-meta``, KiwiSDR ``*.wav``, or raw samples. Looked for beside this file, then in
    the folder that ``HEIMDALL_EDGE_DATA`` names, or in the working directory."""
    format: Literal["auto", "sigmf", "kiwi_wav", "raw"] = "auto"
    """``auto`` goes by the file's name; anything unknown is ``raw``."""
    datatype: SampleFormat = "cu8"
    """Of ``raw``."""
    start_utc: str | None = None
    """When the first sample was taken, RFC 3339, where the file does not say; its modification
    time (KiwiSDR: its name's) when left out."""
    pace: Literal["real_time", "fast"] = "fast"
    """As it was received, or as fast as the worker goes; nothing is lost either way."""
    block_samples: Annotated[int, Field(ge=256, le=4_194_304)] = 65_536


class ObservationFile(Table):
    """Finished observations, one JSON line each, in the published format."""

    path: Path
    """``-`` is standard input."""
    pace: Literal["real_time", "fast"] = "fast"


class Receiver(Table):
    """One feed: which kind, where its antenna stands, and how it is set."""

    id: Name
    kind: Literal["recording", "simulated", "observations"]
    enabled: bool = True
    latitude_deg: Latitude | None = None
    """Where the antenna is; the station's place, or the recording's own, when left out."""
    longitude_deg: Longitude | None = None
    altitude_m: Annotated[float, Field(ge=-500, le=9_000)] | None = None
    """Height of the ground above mean sea level; the station's when left out."""
    antenna_height_m: Annotated[float, Field(ge=0, le=10_000)] = 10.0
    """Above the ground."""
    channels: tuple[Name, ...] | None = None
    """Names of the channels it watches; all of them when left out."""
    center_freq_hz: Hertz | None = None
    """What it is tuned to; a SigMF or KiwiSDR recording knows it."""
    sample_rate_hz: Hertz | None = None
    gain_db: Decibels | None = None
    """Fixed gain; taken off the level, so that levels compare."""
    agc: bool = False
    """The gain was automatic: its level says nothing of distance, and is not used."""
    level_offset_db: Decibels = 0.0
    """What this receiver is known to read too high."""
    level_offset_sd_db: Annotated[float, Field(ge=0, le=40)] | None = None
    """How well: 0–2 just calibrated, 4 this season; nothing is known when left out."""
    clock: Clock = Clock()
    recording: Recording | None = None
    simulated: SimulatedReceiver | None = None
    observations: ObservationFile | None = None

    @model_validator(mode="after")
    def _tables_match_kind(self) -> Receiver:
        problems = []
        tables = {"recording": self.recording, "observations": self.observations}
        if self.kind in tables and tables[self.kind] is None:
            problems.append(f"kind {self.kind!r} needs a table [receivers.{self.kind}]")
        problems.extend(
            f"table {other!r} does not go with kind {self.kind!r}"
            for other in ("recording", "simulated", "observations")
            if other != self.kind and getattr(self, other) is not None
        )
        if self.agc and self.gain_db is not None:
            problems.append("agc = true does not go with gain_db: expected one of them")
        if self.kind == "simulated" and not (self.center_freq_hz and self.sample_rate_hz):
            problems.append("kind 'simulated' needs center_freq_hz and sample_rate_hz")
        if (self.latitude_deg is None) != (self.longitude_deg is None):
            problems.append("latitude_deg and longitude_deg go together")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def gives_iq(self) -> bool:
        return self.kind != "observations"


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
