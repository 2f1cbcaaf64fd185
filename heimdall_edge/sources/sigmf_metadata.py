"""The ``.sigmf-meta`` file of a SigMF recording (1.2.5): each value checked by itself.

What the values say together, and against the data, is checked in
:mod:`heimdall_edge.sources.sigmf`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from heimdall_edge.config_base import Decibels
from heimdall_edge.config_file import key_path
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.raw import size_and_time
from heimdall_edge.timestamps import utc_ns
from heimdall_edge.types import SampleFormat

MAX_FILE_BYTES = 16 * 2**20
MAX_CAPTURES = 65_536
SHOWN_FAULTS = 5


def _whole(value: object) -> object:
    """500 for 500.0: JSON Schema counts it as an integer, and some programs write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_instant(text: str) -> str:
    utc_ns(text)
    return text


def _is_bare_name(name: str) -> str:
    if name in {"", ".", ".."} or re.search(r'[/\\:*?"<>|\0]', name) or len(name.encode()) > 255:
        raise ValueError("expected the bare name of a file in the same folder")
    return name


def _is_on_earth(coordinates: list[float]) -> list[float]:
    longitude_deg, latitude_deg, altitude_m = [*coordinates, 0.0][:3]
    if not (-180 <= longitude_deg <= 180 and -90 <= latitude_deg <= 90):
        raise ValueError("expected [longitude -180…180, latitude -90…90, altitude in metres]")
    if not -1_000 <= altitude_m <= 100_000:
        raise ValueError(f"altitude {altitude_m:g}; expected -1000…100000 m")
    return coordinates


Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)]
Gain = Annotated[Decibels | None, Field(alias="heimdall:gain_db")]


class Geolocation(BaseModel):
    """An RFC 7946 point: the longitude comes first; heights are above the ellipsoid."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    type: Literal["Point"]
    coordinates: Annotated[list[float], Field(min_length=2), AfterValidator(_is_on_earth)]


class Extension(BaseModel):
    """A namespace whose keys the metadata uses."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    optional: bool


class _Core(BaseModel):
    """Values of the namespace ``core``: strict in what is used, blind to the rest."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        alias_generator=lambda field: f"core:{field}",
    )


class Capture(_Core):
    """A part of the data that was recorded with one setting."""

    sample_start: Count
    global_index: Count | None = None
    header_bytes: Count = 0
    frequency: Annotated[float, Field(ge=0, le=300e9)] | None = None
    datetime: Annotated[str, AfterValidator(_is_instant)] | None = None
    geolocation: Geolocation | None = None
    gain_db: Gain = None


class Global(_Core):
    """What holds for the whole recording."""

    datatype: SampleFormat
    version: Annotated[str, Field(pattern=r"^v?[01]\.\d+\.\d+")]
    sample_rate: Annotated[float, Field(ge=1, le=300e9)] | None = None
    num_channels: Annotated[Literal[1], BeforeValidator(_whole)] = 1
    offset: Count = 0
    trailing_bytes: Count = 0
    dataset: Annotated[str, AfterValidator(_is_bare_name)] | None = None
    sha512: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{128}$")] | None = None
    geolocation: Geolocation | None = None
    extensions: tuple[Extension, ...] = ()
    gain_db: Gain = None


class Metadata(BaseModel):
    """The whole file; annotations must be there, but are not read."""

    model_config = ConfigDict(strict=True, frozen=True)

    whole: Annotated[Global, Field(alias="global")]
    captures: Annotated[tuple[Capture, ...], Field(max_length=MAX_CAPTURES)]
    annotations: list[object]


def read_metadata(path: Path) -> Metadata:
    """Read a ``.sigmf-meta`` file.

    Raises
    ------
    SourceError
        It cannot be read.
    SourceDataError
        It is not there, it is no JSON, or a key is missing or wrong; the message names the keys.
    """
    n_bytes, _ = size_and_time(path)
    if n_bytes > MAX_FILE_BYTES:
        raise SourceDataError(f"{path}: {n_bytes} bytes; expected at most {MAX_FILE_BYTES}")
    try:
        metadata = Metadata.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise SourceDataError(f"{path}: {_faults(error)}") from error
    for extension in metadata.whole.extensions:
        if not extension.optional and extension.name != "heimdall":
            raise SourceDataError(
                f"{path}: global.core:extensions: {extension.name!r} is not optional; expected "
                "no extension that must be understood"
            )
    return metadata


def _faults(error: ValidationError) -> str:
    """Key, value and what was expected, of the first few faults."""
    faults = error.errors(include_url=False, include_context=False)
    shown = []
    for fault in faults[:SHOWN_FAULTS]:
        value = fault["input"]
        given = "" if isinstance(value, dict | list | bytes) else f" = {value!r:.60}"
        message = fault["msg"].removeprefix("Value error, ")
        shown.append(f"{key_path(fault['loc'])}{given}: {message}")
    more = f"; and {len(faults) - len(shown)} more" if len(faults) > len(shown) else ""
    return "; ".join(shown) + more
