"""The ``[[receivers]]`` tables: one feed each, and one inner table a kind.

What all kinds share stands in :class:`Receiver` (place, channels, tuning, gain, calibration); what
one protocol alone knows stands in that protocol's table. Live kinds follow the clock: their samples
come whether or not somebody takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from heimdall_edge.config_base import Decibels, Hertz, Latitude, Longitude, Name, Table
from heimdall_edge.config_kinds import (
    KiwiSdr,
    ObservationFile,
    OpenWebRx,
    Recording,
    RtlSdr,
    RtlTcp,
    Soapy,
    SpyServer,
    WebSdr,
)
from heimdall_edge.config_simulation import SimulatedReceiver
from heimdall_edge.types import ClockSource

Kind = Literal[
    "rtlsdr",
    "soapy",
    "rtl_tcp",
    "spyserver",
    "kiwisdr",
    "openwebrx",
    "websdr",
    "recording",
    "simulated",
    "observations",
]
LEVELS_ONLY: frozenset[Kind] = frozenset({"openwebrx", "websdr", "observations"})
"""Kinds that give finished observations, and no samples."""
TUNED_BY_US: frozenset[Kind] = frozenset({"rtlsdr", "soapy", "rtl_tcp", "spyserver", "simulated"})
"""Kinds that must be told what to tune to, and how fast to sample."""


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


class GainStep(Table):
    """What a gain setting does in truth, measured."""

    set_db: Decibels
    """As the driver names it."""
    true_db: Decibels


class Calibration(Table):
    """How a receiver's numbers become levels that compare."""

    full_scale_dbm: Decibels | None = None
    """Level at the antenna, at 0 dB gain, that fills the converter: makes levels absolute."""
    gain_steps: tuple[GainStep, ...] = ()
    """In rising order of ``set_db``; between two of them it goes straight, beyond them it stays."""

    @model_validator(mode="after")
    def _steps_rise(self) -> Calibration:
        labels = [step.set_db for step in self.gain_steps]
        if labels != sorted(set(labels)):
            raise ValueError("gain_steps: set_db must rise from step to step")
        return self


class Scan(Table):
    """Hops over several centres; what is not being listened to is said, never guessed."""

    centers_hz: Annotated[tuple[Hertz, ...], Field(min_length=2, max_length=256)]
    dwell_s: Annotated[float, Field(ge=0.1, le=3_600)] = 2.0
    """How long it stays on each."""
    settle_s: Annotated[float, Field(ge=0, le=10)] = 0.15
    """Thrown away after each hop, while the tuner settles."""


NEEDS_TABLE: frozenset[Kind] = frozenset(get_args(Kind)) - {"rtlsdr", "simulated"}
"""Kinds that cannot do without their own table."""


class Receiver(Table):
    """One feed: which kind, where its antenna stands, and how it is set."""

    id: Name
    kind: Kind
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
    """What it is tuned to; recordings and web receivers may know it."""
    sample_rate_hz: Hertz | None = None
    gain_db: Decibels | None = None
    """Fixed gain, the nearest that the device has; taken off the level, so that levels compare."""
    agc: bool = False
    """The gain is automatic: its level says nothing of distance, and is not used."""
    level_offset_db: Decibels = 0.0
    """What this receiver is known to read too high."""
    level_offset_sd_db: Annotated[float, Field(ge=0, le=40)] | None = None
    """How well: 0–2 just calibrated, 4 this season; nothing is known when left out."""
    clock: Clock = Clock()
    calibration: Calibration = Calibration()
    scan: Scan | None = None
    rtlsdr: RtlSdr | None = None
    soapy: Soapy | None = None
    rtl_tcp: RtlTcp | None = None
    spyserver: SpyServer | None = None
    kiwisdr: KiwiSdr | None = None
    openwebrx: OpenWebRx | None = None
    websdr: WebSdr | None = None
    recording: Recording | None = None
    simulated: SimulatedReceiver | None = None
    observations: ObservationFile | None = None

    @model_validator(mode="after")
    def _tables_match_kind(self) -> Receiver:
        problems = []
        if self.kind in NEEDS_TABLE and getattr(self, self.kind) is None:
            problems.append(f"kind {self.kind!r} needs a table [receivers.{self.kind}]")
        problems.extend(
            f"table {other!r} does not go with kind {self.kind!r}"
            for other in get_args(Kind)
            if other != self.kind and getattr(self, other) is not None
        )
        has_gain = self.gain_db is not None or (self.soapy and self.soapy.gains)
        if self.kind in {"rtlsdr", "rtl_tcp", "soapy"} and not (has_gain or self.agc):
            problems.append(f"kind {self.kind!r} needs gain_db, or agc = true")
        if self.agc and self.gain_db is not None:
            problems.append("agc = true does not go with gain_db: expected one of them")
        if self.soapy and self.soapy.gains and (self.agc or self.gain_db is not None):
            problems.append("soapy.gains goes neither with gain_db nor with agc = true")
        if self.kind in TUNED_BY_US and not self.sample_rate_hz:
            problems.append(f"kind {self.kind!r} needs sample_rate_hz")
        if self.kind in TUNED_BY_US | {"kiwisdr"} and not (self.center_freq_hz or self.scan):
            problems.append(f"kind {self.kind!r} needs center_freq_hz")
        problems.extend(self._scan_problems())
        if (self.latitude_deg is None) != (self.longitude_deg is None):
            problems.append("latitude_deg and longitude_deg go together")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def gives_iq(self) -> bool:
        return self.kind not in LEVELS_ONLY

    @property
    def follows_clock(self) -> bool:
        """Whether its samples come whether or not somebody takes them: a radio, not a file."""
        if self.kind == "simulated":
            return (self.simulated or SimulatedReceiver()).pace == "real_time"
        return self.kind not in {"recording", "observations"}

    @property
    def centers_hz(self) -> tuple[float, ...]:
        """What it is tuned to, one after the other; empty where only the source knows."""
        if self.scan:
            return self.scan.centers_hz
        return () if self.center_freq_hz is None else (self.center_freq_hz,)

    def _scan_problems(self) -> Iterator[str]:
        if self.scan is None:
            return
        if self.kind not in TUNED_BY_US:
            yield f"scan does not go with kind {self.kind!r}, which cannot be tuned"
        if self.center_freq_hz is not None:
            yield "scan does not go with center_freq_hz: expected one of them"
