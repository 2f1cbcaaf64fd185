"""The published format of an observation, ``heimdall.observation/1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heimdall_edge.publish.payload_base import (
    ClockPayload,
    Decibels,
    Fraction,
    FrequencyErrorPayload,
    Hertz,
    Label,
    Name,
    SamplesPayload,
    SchemaName,
    Seconds,
    SitePayload,
    Timestamp,
    Wire,
)


class MelPayload(Wire):
    """A mel spectrogram of complex IQ, dB over the receiver's noise floor."""

    n_mels: Annotated[int, Field(ge=1, le=4096)]
    """Rows, from −bw/2 to +bw/2."""
    n_frames: Annotated[int, Field(ge=1, le=65_536)]
    encoding: Literal["base64_f16_le"]
    """IEEE 754 half precision, little-endian, row by row, in base64."""
    data: str


class IqPayload(Wire):
    """Channel IQ of the window."""

    datatype: Literal["ci16_le"]
    sample_rate_hz: Hertz
    encoding: Literal["base64"]
    full_scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """What 32768 stands for; the receiver's full scale is 1.0."""
    start_offset_us: Annotated[float, Field(ge=-1e12, le=1e12)] = 0.0
    """Time of the first sample after ``started_at``."""
    data: str


class ObservationPayload(Wire):
    """What one receiver says of one transmission on one channel."""

    schema_: Literal["heimdall.observation/1"] = SchemaName
    observation_id: Label | None = None
    """The same for the same window of the same receiver; derived where it is absent."""
    station: Name
    receiver: SitePayload
    channel: Name
    frequency_hz: Hertz
    started_at: Timestamp
    duration_s: Seconds
    heard: bool = True
    """False: it listened and heard nothing; the noise floor is then its limit."""
    scene_id: Label | None = None
    """Lines that share it belong to one transmission."""
    levels_compare: bool | None = None
    """False: its level says nothing of distance, as the gain is automatic or the level is but a
    bound; ``level_dbfs`` and ``level_dbm`` are then absent, and are not used where they are not."""
    level_dbfs: Decibels | None = None
    """Mean power, signal and noise; 0 is a complex tone at full scale."""
    level_dbm: Decibels | None = None
    gain_db: Decibels | None = None
    snr_db: Decibels | None = None
    noise_floor_dbfs: Decibels | None = None
    noise_floor_dbm: Decibels | None = None
    bandwidth_hz: Hertz | None = None
    frequency_offset_hz: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    clipped_fraction: Fraction | None = None
    samples: SamplesPayload | None = None
    clock: ClockPayload | None = None
    frequency_error: FrequencyErrorPayload | None = None
    mel: MelPayload | None = None
    iq: IqPayload | None = None
    published_at: Timestamp | None = None
    replayed: bool | None = None
    """True: it waited for the connection."""
