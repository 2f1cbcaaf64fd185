"""A model's manifest: what the ONNX file says about itself, parsed and checked.

It travels in the file's ``metadata_props`` (locator contract, section 5). Whoever trained the
model wrote it; a field that is missing or wrong is named, with what was expected.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn, TypeGuard

from heimdall_edge.errors import ModelError

SCHEMA = "locator/1"

_PREFIX = "heimdall."
_NAME = re.compile(r"[-._+A-Za-z0-9]{1,64}")
_MAX_FIELD_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class Domain:
    """What a model was made for; outside of it a fix is refused."""

    min_receivers: int
    max_receivers: int
    band_mhz: tuple[float, float]
    """Lowest and highest frequency."""
    max_range_km: float
    """Greatest distance of a transmitter from the nearest receiver."""
    trained_on: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """How honest the model's covariance was found to be, and on what."""

    cov_scale: float
    """The covariance is multiplied by it."""
    n: int
    """Positions that it was measured on; 0 if it never was."""
    coverage_68: float | None
    """Share of the truths inside the ellipse that should hold 0.68; ``None`` if not measured."""
    coverage_95: float | None
    data: str | None
    """Name of the data that it was measured on."""


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """All that the runtime wants to know of a model before it runs it."""

    schema: str
    name: str
    version: str
    mel: Mapping[str, Any] | None
    """Parameters of the spectrogram, which ``MelProfile.from_manifest`` reads; ``None``: none."""
    domain: Domain
    calibration: Calibration


def parse_manifest(metadata: Mapping[str, str]) -> Manifest:
    """Read a model's ``metadata_props``.

    Raises
    ------
    ModelError
        Naming the field, what it is, and what was expected.
    """
    schema = metadata.get(_PREFIX + "schema")
    if schema is None:
        raise ModelError(
            f"the model has no manifest: metadata heimdall.schema is missing, expected {SCHEMA!r}"
        )
    if schema != SCHEMA:
        _refuse("schema", schema, repr(SCHEMA))
    return Manifest(
        schema=schema,
        name=_name(metadata, "name"),
        version=_name(metadata, "version"),
        mel=_mel(metadata),
        domain=_domain(_Fields.of(metadata, "domain")),
        calibration=_calibration(_Fields.of(metadata, "calibration")),
    )


def _domain(fields: _Fields) -> Domain:
    receivers = fields.table("receivers")
    least = receivers.whole("min", low=1)
    return Domain(
        min_receivers=least,
        max_receivers=receivers.whole("max", low=least),
        band_mhz=fields.band("band_mhz"),
        max_range_km=fields.number("max_range_km", above=0.0),
        trained_on=fields.text("trained_on"),
    )


def _calibration(fields: _Fields) -> Calibration:
    n = fields.whole("n", low=0)
    return Calibration(
        cov_scale=fields.number("cov_scale", above=0.0),
        n=n,
        coverage_68=fields.share("coverage_68") if n else None,
        coverage_95=fields.share("coverage_95") if n else None,
        data=fields.text("data") if n else None,
    )


def _mel(metadata: Mapping[str, str]) -> Mapping[str, Any] | None:
    if _PREFIX + "mel" not in metadata:
        return None
    fields = _Fields.of(metadata, "mel")
    fields.whole("n_mels", low=1)
    fields.whole("n_frames", low=1)
    return MappingProxyType(dict(fields.values))


def _name(metadata: Mapping[str, str], field: str) -> str:
    value = metadata.get(_PREFIX + field, "")
    if not _NAME.fullmatch(value):
        _refuse(field, value, "1 to 64 letters, digits, '-', '.', '_' or '+'")
    return value


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    raise ModelError(f"metadata {_PREFIX}{field} is {shown}: expected {expected}")


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object of the manifest, and its path for messages."""

    path: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, metadata: Mapping[str, str], field: str) -> _Fields:
        text = metadata.get(_PREFIX + field)
        if text is None:
            raise ModelError(f"metadata {_PREFIX}{field} is missing: expected a JSON object")
        try:
            value = json.loads(text) if len(text) <= _MAX_FIELD_CHARS else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            _refuse(field, text, "a JSON object")
        return cls(field, value)

    def table(self, name: str) -> _Fields:
        value = self.values.get(name)
        if not isinstance(value, dict):
            _refuse(f"{self.path}.{name}", value, "a JSON object")
        return _Fields(f"{self.path}.{name}", value)

    def whole(self, name: str, *, low: int) -> int:
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**31:
            _refuse(f"{self.path}.{name}", value, f"a whole number, {low} or more")
        return value

    def number(self, name: str, *, above: float) -> float:
        value = self.values.get(name)
        if not _is_number(value) or value <= above:
            _refuse(f"{self.path}.{name}", value, f"a finite number over {above:g}")
        return float(value)

    def share(self, name: str) -> float:
        value = self.values.get(name)
        if not _is_number(value) or not 0 <= value <= 1:
            _refuse(f"{self.path}.{name}", value, "a number 0…1")
        return float(value)

    def band(self, name: str) -> tuple[float, float]:
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
            _refuse(f"{self.path}.{name}", value, "[lowest, highest]")
        if not 0 < value[0] < value[1]:
            _refuse(f"{self.path}.{name}", value, "0 < lowest < highest")
        return (float(value[0]), float(value[1]))

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= 500:
            _refuse(f"{self.path}.{name}", value, "a text of 1 to 500 characters")
        return value


def _is_number(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) < 1e30
    )
