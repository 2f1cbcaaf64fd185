"""The published format, version 1: what a hub reads, field by field.

The models in ``payload_*.py`` are the contract: they write the payloads, read the lines, and make
the JSON Schemas under ``docs/schemas``. The modules ``wire_*.py`` turn our own types into them. An
unknown field is ignored (a minor addition keeps the number); what is absent is left out. Here is
what they have in common.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from heimdall_edge.publish.topics import TOPIC_PART
from heimdall_edge.timestamps import utc_ns

NAME_PATTERN = TOPIC_PART
ONE_SIGMA = 0.6827


def _checked_timestamp(text: str) -> str:
    utc_ns(text)
    return text


Timestamp = Annotated[
    str,
    AfterValidator(_checked_timestamp),
    Field(max_length=40, json_schema_extra={"format": "date-time"}),
]
"""RFC 3339, UTC, microseconds."""
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Label = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decibels = Annotated[float, Field(ge=-1000, le=1000)]
Hertz = Annotated[float, Field(gt=0, le=1e12)]
Seconds = Annotated[float, Field(ge=0, le=86_400 * 365)]
Metres = Annotated[float, Field(ge=0)]
SchemaName = Field(alias="schema")


class Wire(BaseModel):
    """A JSON object of the contract."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        populate_by_name=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
    )

    def to_dict(self) -> dict[str, Any]:
        """The object as it goes out: what is absent is left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ClockPayload(Wire):
    """What disciplines time stamps, and how well."""

    source: Literal["none", "ntp", "ptp", "gnss"] = "none"
    sigma_s: Annotated[float, Field(gt=0)] | None = None
    locked: bool = False


class FrequencyErrorPayload(Wire):
    """By how much a receiver's crystal is fast."""

    ppm: Annotated[float, Field(ge=-1e6, le=1e6)]
    sigma_ppm: Annotated[float, Field(ge=0, le=1e6)]
    """Standard deviation, the host clock's own error included."""


class OutboxPayload(Wire):
    """What waits for the broker at this station."""

    depth: Count
    bytes: Count
    oldest_age_s: float | None = None
    on_disk: bool
    """False: the disk is full or read-only, and what waits does so in memory."""
    evicted: dict[str, Count] = Field(default_factory=dict)
    """Bound (``rows``, ``bytes``, ``age``, ``memory``, ``damaged``) → messages given up."""
    last_error: Text | None = None


class SitePayload(Wire):
    """A receiver, and where its antenna stands."""

    id: Name
    latitude: float | None = None
    """Degrees, WGS-84; absent where the receiver does not know."""
    longitude: float | None = None
    altitude_m: float | None = None
    """Height of the ground above mean sea level."""
    antenna_height_m: float | None = None
    """Above the ground."""
    level_offset_db: Decibels | None = None
    """What it is known to read too high."""
    level_offset_sd_db: Annotated[float, Field(ge=0, le=100)] | None = None


class SamplesPayload(Wire):
    """What became of the receiver's samples in the window."""

    received: Count = 0
    lost: Count = 0
    """By USB or the network."""
    dropped: Count = 0
    """By the station, for want of CPU."""
    clipped: Count | None = None
    """Of those received, at the converter's limit."""


class ModelPayload(Wire):
    """A model, by its manifest's words and its file's hash."""

    name: Label
    version: Label
    sha256: Annotated[str, Field(max_length=64)]
