"""The ``[[receivers]]`` tables: one feed each, and one inner table a kind.

What all kinds share stands in :class:`Receiver` (place, channels, tuning, gain, calibration); what
one protocol alone knows stands in that protocol's table. Live kinds follow the clock: their samples
come whether or not somebody takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from heimdall_edge.config_base import Decibels, Hertz, Latitude, Longitude, Name, Table
from heimdall_edge.config_simulation import SimulatedReceiver
from heimdall_edge.types import ClockSource, SampleFormat

Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/@?#]+$")]
"""A name or address, such as ``sdr.example``, ``192.0.2.7`` or ``2001:db8::7``."""
Port = Annotated[int, Field(ge=1, le=65_535)]
Ppm = Annotated[float, Field(ge=-500, le=500)]

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


class RtlSdr(Table):
    """An RTL-SDR dongle on this host, by its serial or its index; the only one when neither is."""

    serial: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Found again in any USB port. ``rtl_eeprom -s`` writes it, ``heimdall-edge receivers`` lists
    it."""
    index: Annotated[int, Field(ge=0, le=63)] | None = None
    """Changes with the USB port and the order of plugging in."""
    ppm: Annotated[int, Field(ge=-500, le=500)] = 0
    """Correction of the crystal, whole parts per million."""
    bias_tee: bool = False
    """Feeds 4.5 V to the antenna socket: only for an amplifier that wants it."""
    direct_sampling: Literal["off", "i", "q"] = "off"
    """Below 24 MHz, past the tuner; ``q`` on an RTL-SDR Blog V3, ``off`` on a V4."""
    offset_tuning: bool = False
    """Moves the DC spike away on E4000 tuners."""
    bandwidth_hz: Hertz | None = None
    """Of the tuner's filter; chosen by the sample rate when left out."""

    @model_validator(mode="after")
    def _one_name(self) -> RtlSdr:
        if self.serial is not None and self.index is not None:
            raise ValueError("serial and index exclude each other: expected one of them")
        return self


class Soapy(Table):
    """Any SoapySDR device, local or by SoapyRemote."""

    device: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"(^|,)\s*driver\s*=")]
    """Its arguments, ``driver=`` always among them; two receivers that name the same ones share
    the device, each with a ``channel`` of its own."""
    channel: Annotated[int, Field(ge=0, le=63)] = 0
    antenna: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """By the driver's own name."""
    gains: dict[str, Decibels] = Field(default_factory=dict)
    """Element → dB, such as ``LNA = 20``; instead of the receiver's ``gain_db``."""
    settings: dict[str, str] = Field(default_factory=dict)
    """The driver's own settings, such as ``biastee = "true"``."""
    format: Literal["native", "CU8", "CS8", "CS16", "CF32"] = "native"
    """Of the samples; ``native`` is what the device itself gives."""
    bandwidth_hz: Hertz | None = None
    ppm: Ppm = 0.0
    """Correction of the crystal."""


class RtlTcp(Table):
    """A dongle behind ``rtl_tcp``; one client at a time."""

    host: Host
    port: Port = 1234
    ppm: Annotated[int, Field(ge=-500, le=500)] = 0
    bias_tee: bool | None = None
    """Nothing is sent when left out: some forks mean something else by this command."""
    direct_sampling: Literal["off", "i", "q"] = "off"
    offset_tuning: bool = False
    bandwidth_hz: Hertz | None = None
    """Sent only where it is set: the command of hayguen's fork (0x40)."""


class SpyServer(Table):
    """A SpyServer."""

    host: Host
    port: Port = 5555
    format: Literal["auto", "u8", "s16", "f32"] = "auto"
    """Of the samples; ``auto`` is what the server forces, else s16."""
    gain_index: Annotated[int, Field(ge=0, le=255)] | None = None
    """Where the server lets its clients choose."""


class KiwiSdr(Table):
    """A KiwiSDR's IQ channel, 0–30 MHz, with GNSS time stamps where its owner gives them out."""

    host: Host
    port: Port = 8073
    tls: bool = False
    password_file: Path | None = None
    """One line: the password of a channel that wants one."""
    time_limit_password_file: Path | None = None
    """One line: the owner's password that lifts the time limit."""
    user: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Shown to the receiver's owner; ``heimdall-edge <station>`` when left out."""
    half_band_hz: Annotated[float, Field(ge=500, le=10_000)] = 5_000.0
    """The pass band reaches so far to either side of ``center_freq_hz``."""


class OpenWebRx(Table):
    """An OpenWebRX or OpenWebRX+ page: levels and a coarse spectrum, no samples."""

    host: Host
    port: Port = 8073
    tls: bool = False
    path: Annotated[str, Field(pattern=r"^/[^\s?#]*$")] = "/ws/"
    min_duration_s: Annotated[float, Field(ge=0, le=60)] = 0.3
    """Its rows come a few times a second: shorter ones say little."""


class WebSdr(Table):
    """A WebSDR.org page: one S-meter, after an interface that its author never published."""

    host: Host
    port: Port = 8901
    tls: bool = False
    band: Annotated[int, Field(ge=0, le=63)] | None = None
    """Its number on the page; the one that holds the channel when left out."""
    mode: Literal["usb", "lsb", "cw", "am", "fm"] = "fm"


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
