"""What flows through the daemon, and nothing else.

::

    IQBlock ─▶ ChannelBlock ─▶ Burst ─▶ Observation ─▶ Scene ─▶ Estimate ─▶ Fix
                                   └──▶ Listening ─────▶┘

Every value is frozen; arrays are read-only (see :func:`frozen_array`). Instants are integer
nanoseconds since 1970-01-01T00:00:00 UTC (``*_utc_ns``): a float64 of seconds since then
resolves 0.24 µs only, seventy metres of radio path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

NS_PER_S = 1_000_000_000

Scalar = TypeVar("Scalar", bound=np.generic)

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SampleFormat = Literal["cu8", "ci8", "ci16_le", "ci16_be", "cf32_le"]
"""SigMF's names of the sample formats that the front end takes."""

Method = Literal["rss", "tdoa", "rss+tdoa", "single_receiver_prior"]


def frozen_array(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Make an array read-only, and return it."""
    array.setflags(write=False)
    return array


# ── where and when ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Place:
    """Where an antenna stands, WGS-84."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0
    """Height of the ground above mean sea level."""
    antenna_height_m: float = 0.0
    """Height of the antenna above the ground."""


class ClockSource(StrEnum):
    """What disciplines a receiver's time stamps."""

    NONE = "none"
    NTP = "ntp"
    PTP = "ptp"
    GNSS = "gnss"


@dataclass(frozen=True, slots=True)
class ClockState:
    """How good a receiver's time stamps are, at the moment they were made."""

    source: ClockSource = ClockSource.NONE
    sigma_s: float | None = None
    """Standard deviation of a stamp, seconds; ``None`` where nobody knows."""
    locked: bool = False

    @property
    def shares_time_base(self) -> bool:
        """Whether its stamps compare with another such receiver's to a microsecond or so."""
        return self.locked and self.source in {ClockSource.GNSS, ClockSource.PTP}


@dataclass(frozen=True, slots=True)
class FrequencyError:
    """By how much a receiver's crystal is fast, as its samples against the host's clock show."""

    ppm: float
    sigma_ppm: float
    """Standard deviation, the host clock's own error included."""


# ── samples ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class IQBlock:
    """A run of samples as a receiver gave them, with the truth about itself."""

    samples: NDArray[Any]
    """Interleaved I, Q in ``datatype``'s own numbers; [2 * n_samples]; read-only."""
    datatype: SampleFormat
    sample_rate_hz: float
    center_freq_hz: float
    sample_start: int
    """Index of the first sample since the source was opened; lost samples count too."""
    start_utc_ns: int
    """When the first sample was at the antenna."""
    lost_samples: int = 0
    """Samples that USB or the network lost just before this block."""
    dropped_samples: int = 0
    """Samples that we dropped just before this block, for want of CPU."""
    discarded_samples: int = 0
    """Samples thrown away on purpose just before this block: a tuner was settling."""
    clock: ClockState = ClockState()
    place: Place | None = None
    """Where the receiver was, if the source knows better than the configuration."""
    gain_db: float | None = None
    """The gain in force, if the source knows better than the configuration."""
    full_scale_dbm: float | None = None
    """Level at the antenna of a full-scale tone (0 dBFS) with the gain in force, where known."""
    frequency_error: FrequencyError | None = None
    full_scale: float | None = None
    """The number that is full scale, where it is less than the datatype's own: 2048 of a 12-bit
    converter in ``ci16_le``."""

    @property
    def n_samples(self) -> int:
        return len(self.samples) // 2

    @property
    def end_utc_ns(self) -> int:
        """When the sample after the last one was at the antenna."""
        return self.start_utc_ns + round(self.n_samples * NS_PER_S / self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class SampleCount:
    """What became of the receiver's own samples within one window."""

    received: int = 0
    lost: int = 0
    dropped: int = 0
    clipped: int = 0

    @property
    def clipped_fraction(self) -> float:
        """Share of the received samples at the converter's limit, 0…1."""
        return self.clipped / self.received if self.received else 0.0

    def __add__(self, other: SampleCount) -> SampleCount:
        return SampleCount(
            self.received + other.received,
            self.lost + other.lost,
            self.dropped + other.dropped,
            self.clipped + other.clipped,
        )


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel to watch: its name, its centre, and how wide it is."""

    name: str
    frequency_hz: float
    bandwidth_hz: float


@dataclass(frozen=True, slots=True, eq=False)
class ChannelBlock:
    """What an :class:`IQBlock` holds of the channels of one width, at their own rate."""

    bandwidth_hz: float
    channels: tuple[ChannelSpec, ...]
    """Those that are being computed; may be none."""
    iq: Complex64
    """complex64 [n_channels, n_samples], full scale 1.0, each channel's centre at 0 Hz; n_samples
    may be 0; read-only."""
    sample_rate_hz: float
    start_utc_ns: int
    """When ``iq[:, 0]`` was at the antenna: the filters' group delay is already taken out."""
    follows: bool
    """Whether ``iq[:, 0]`` is the very next sample after the previous block's last one."""
    count: SampleCount
    """The receiver's samples that this block was made of (at the receiver's rate)."""
    clock: ClockState
    place: Place | None = None
    gain_db: float | None = None
    full_scale_dbm: float | None = None
    frequency_error: FrequencyError | None = None

    @property
    def n_samples(self) -> int:
        return int(self.iq.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """One transmission, or one window of a long one, on one channel of one receiver."""

    channel: ChannelSpec
    iq: Complex64
    """complex64 [n_samples], full scale 1.0, from start to end of what was detected; read-only."""
    sample_rate_hz: float
    start_utc_ns: int
    noise_power: float
    """Tracked noise floor in the channel, linear, full scale 1.0."""
    count: SampleCount
    clock: ClockState
    place: Place | None = None
    gain_db: float | None = None
    full_scale_dbm: float | None = None
    frequency_error: FrequencyError | None = None

    @property
    def duration_s(self) -> float:
        return len(self.iq) / self.sample_rate_hz


@dataclass(frozen=True, slots=True, eq=False)
class Mel:
    """A mel spectrogram of complex IQ."""

    db_over_floor: Float32
    """float32 [n_mels, n_frames], dB over the receiver's noise floor, row 0 at -bw/2; read-only."""


@dataclass(frozen=True, slots=True, eq=False)
class IQSnippet:
    """A window's channel IQ, kept until its arrival time is measured."""

    iq: Complex64
    """complex64 [n_samples], full scale 1.0; read-only."""
    sample_rate_hz: float
    start_utc_ns: int


# ── what receivers say ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class ReceiverInfo:
    """Who heard it: the part of a receiver that travels with each of its observations."""

    station: str
    receiver_id: str
    place: Place
    level_offset_db: float = 0.0
    """What this receiver's relative level reads too high, as far as is known."""
    level_offset_sd_db: float | None = None
    """How well that is known: 0–2 just calibrated, 4 same campaign; ``None`` is unknown (8)."""

    @property
    def key(self) -> tuple[str, str]:
        """(station, receiver id): unique in a network."""
        return (self.station, self.receiver_id)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What one receiver says of one transmission on one channel."""

    observation_id: str
    receiver: ReceiverInfo
    channel: str
    frequency_hz: float
    start_utc_ns: int
    duration_s: float
    noise_floor_dbfs: float | None
    heard: bool = True
    """False: it listened and heard nothing; ``noise_floor_dbfs`` is then its limit."""
    level_dbfs: float | None = None
    level_dbm: float | None = None
    noise_floor_dbm: float | None = None
    gain_db: float | None = None
    snr_db: float | None = None
    bandwidth_hz: float | None = None
    frequency_offset_hz: float | None = None
    count: SampleCount = SampleCount()
    clipped_fraction: float = 0.0
    clock: ClockState = ClockState()
    frequency_error: FrequencyError | None = None
    scene_id: str | None = None
    """Lines that share it belong to one transmission, by the word of who wrote them."""
    mel: Mel | None = None
    snippet: IQSnippet | None = None
    detected_monotonic_s: float | None = None
    """When the last samples of its window were at hand, on this host's monotonic clock; for
    latencies only."""

    @property
    def end_utc_ns(self) -> int:
        return self.start_utc_ns + round(self.duration_s * NS_PER_S)


@dataclass(frozen=True, slots=True, eq=False)
class Listening:
    """That a receiver listened from start to end, and how low it could hear on each channel."""

    receiver: ReceiverInfo
    start_utc_ns: int
    end_utc_ns: int
    limit_dbfs: Mapping[str, float]
    """Channel name → level below which a transmission stays unheard: floor + opening threshold;
    infinite where the gain is automatic, and silence therefore says nothing."""
    gain_db: float | None = None
    full_scale_dbm: float | None = None
    """Added to ``limit_dbfs``, it gives the limit in dBm, where that is known."""
    least_duration_s: float = 0.0
    """A transmission shorter than this may have gone unheard all the same."""


# ── what they say together ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ArrivalTime:
    """When a transmission reached one receiver, against the other receivers of its scene."""

    toa_us: float
    """Microseconds, relative to a zero that is common to the scene."""
    sigma_us: float
    """Standard deviation, clock and systematic floor included."""
    is_outlier: bool = False
    """Disagrees with the others by more than its σ allows; not used, but published."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The observations of one transmission, and the receivers that heard nothing of it."""

    channel: str
    frequency_hz: float
    start_utc_ns: int
    duration_s: float
    observations: tuple[Observation, ...]
    """Heard and not heard, sorted by receiver key; at most one a receiver."""
    scene_id: str | None = None
    arrivals: tuple[ArrivalTime | None, ...] = ()
    """One an observation, in their order; empty where nothing was measured."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason → number of observations that were not used, such as ``absurd_place``."""

    @property
    def end_utc_ns(self) -> int:
        return self.start_utc_ns + round(self.duration_s * NS_PER_S)

    @property
    def heard(self) -> tuple[Observation, ...]:
        return tuple(o for o in self.observations if o.heard)


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A model's answer for a scene, in the scene's local east–north frame."""

    origin: Place
    mean_enu_km: Float64
    """float64 [2]: east, north of the origin, km; read-only."""
    covariance_km2: Float64
    """float64 [2, 2]: east–north, km², positive definite; read-only."""
    ood: float | None = None
    """0…1: distance from the training domain; ``None`` where the model does not say."""


@dataclass(frozen=True, slots=True)
class ErrorEllipse:
    """The ellipse round a position that holds the truth with a probability."""

    semi_major_m: float
    semi_minor_m: float
    azimuth_deg: float
    """Of the major axis, clockwise from true north, [0, 180)."""
    probability: float


@dataclass(frozen=True, slots=True)
class ErrorCircle:
    """The circle round a position that holds the truth with a probability."""

    radius_m: float
    probability: float


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model it was: name and version as its manifest says, and the file's own hash."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """Where the transmitter is, and how sure that is."""

    latitude_deg: float
    longitude_deg: float
    covariance_enu_m2: tuple[float, float, float]
    """(ee, en, nn), m²."""
    ellipse: ErrorEllipse
    circle: ErrorCircle
    confidence: float
    """Probability that the truth lies within the service radius of the position, 0…1."""


@dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """What is published of a scene: a position, or a refusal with its reason."""

    fix_id: str
    station: str
    scene: Scene
    position: Position | None
    reason: str | None
    """Why there is no position; ``None`` where there is one."""
    method: Method | None
    model: ModelIdentity
    variant: Literal["active", "candidate", "fallback"] = "active"
    ood: float | None = None
    cache_hit: bool = False
    inference_time_s: float = 0.0
    latency_s: Mapping[str, float] = field(default_factory=dict)
    """Stage (``detect``, ``features``, ``infer``) → seconds it took."""


# ── how a receiver fares ──────────────────────────────────────────────────────────────────


class ReceiverState(StrEnum):
    """The states of a receiver, as published."""

    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    DISABLED = "disabled"
    """Switched off by the configuration, or a recording that came to its end."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceiverStatus:
    """A receiver at one moment, as ``receivers/<id>/state`` says it."""

    receiver_id: str
    state: ReceiverState
    since_utc_ns: int
    reason: str | None = None
    sample_rate_hz: float | None = None
    gain_db: float | None = None
    count: SampleCount = SampleCount()
    noise_floor_dbfs: Mapping[str, float] = field(default_factory=dict)
    clock: ClockState = ClockState()
    place: Place | None = None
    frequency_error: FrequencyError | None = None
    device: str | None = None
    """What was opened, in words: ``R820T, serial 00000001, gain 28.0 dB``."""
    given_up: tuple[str, ...] = ()
    """What is not worked on for want of CPU, in the order it was given up."""
