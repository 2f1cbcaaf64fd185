"""JSON, numbers and faults: what all of the published formats share in writing and reading."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.payload_base import (
    ClockPayload,
    FrequencyErrorPayload,
    SamplesPayload,
)
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import ClockState, FrequencyError, SampleCount


def to_json(payload: dict[str, Any]) -> bytes:
    """A payload as one line of UTF-8; PayloadError if a number in it is not finite."""
    try:
        text = json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise PayloadError(f"cannot be written as JSON: {error}") from None
    return text.encode()


def read_object(line: str | bytes, *, max_bytes: int) -> dict[str, Any]:
    """One JSON object; NaN and infinity, which are not JSON, are refused, and so is great depth."""
    if len(line) > max_bytes:
        raise PayloadError(f"{len(line)} bytes long, expected {max_bytes} at most")
    try:
        found = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise PayloadError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise PayloadError(f"expected a JSON object, found {type(found).__name__}")
    return found


def sealed(
    payload: bytes, *, published_at_utc_ns: int, replayed: bool, publish_s: float | None = None
) -> dict[str, Any]:
    """A stored fix or observation, with what is known only when it is sent."""
    found: dict[str, Any] = json.loads(payload)
    found["published_at"] = rfc3339(published_at_utc_ns)
    found["replayed"] = replayed
    if publish_s is not None and "latency_ms" in found:
        found["latency_ms"]["publish"] = milliseconds(publish_s)
    return found


@contextmanager
def faults_named() -> Iterator[None]:
    """Turn what pydantic finds into a PayloadError of the first fault, by its path.

    What was found there stays out of the message: it may be long, or nobody's business.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        more = error.error_count() - 1
        others = f" (and {more} more)" if more else ""
        raise PayloadError(f"{field or 'object'}: {first['msg']}{others}", field=field) from None
    except ValueError as error:
        raise PayloadError(str(error)) from None


def finite(value: float | None) -> float | None:
    """The number, or ``None`` where there is none to speak of."""
    return float(value) if value is not None and math.isfinite(value) else None


def milliseconds(seconds: float) -> float:
    """Seconds as they go out, to a microsecond."""
    return round(1_000 * seconds, 3)


def samples_payload(count: SampleCount) -> SamplesPayload:
    """What became of the samples of a window."""
    return SamplesPayload(
        received=count.received, lost=count.lost, dropped=count.dropped, clipped=count.clipped
    )


def frequency_error_payload(error: FrequencyError | None) -> FrequencyErrorPayload | None:
    """By how much a crystal is fast, where that is known."""
    if error is None or finite(error.ppm) is None or finite(error.sigma_ppm) is None:
        return None
    return FrequencyErrorPayload(ppm=float(error.ppm), sigma_ppm=float(error.sigma_ppm))


def clock_payload(clock: ClockState) -> ClockPayload:
    """What disciplined a time stamp."""
    return ClockPayload(
        source=clock.source.value, sigma_s=finite(clock.sigma_s), locked=clock.locked
    )
