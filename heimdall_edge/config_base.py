"""What every configuration model stands on: strictness, and the shared kinds of value."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Hertz = Annotated[float, Field(gt=0, le=300e9)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 365)]
Decibels = Annotated[float, Field(ge=-200, le=200)]
Name = Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]{1,64}$")]
"""What may stand as one part of an MQTT topic."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Table(BaseModel):
    """A TOML table: unknown keys are refused, nothing is coerced, nothing changes later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )
