"""How every model of the contract behaves."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from heimdall_edge.publish.payload_base import ClockPayload, OutboxPayload, SitePayload


def test_a_field_that_a_later_version_adds_is_ignored() -> None:
    assert ClockPayload.model_validate({"source": "gnss", "leap_seconds": 18}).source == "gnss"


def test_what_is_absent_is_left_out() -> None:
    assert SitePayload(id="rx1").to_dict() == {"id": "rx1"}
    assert SitePayload.model_validate({"id": "rx1", "latitude": None}).latitude is None


@pytest.mark.parametrize(
    "line",
    ['{"sigma_s":"1e-7"}', '{"locked":1}', '{"locked":"yes"}', '{"source":"sundial"}',
     '{"sigma_s":1e999}', '{"sigma_s":0}', '{"sigma_s":true}'],
)  # fmt: skip
def test_nothing_is_coerced_and_nothing_is_infinite(line: str) -> None:
    with pytest.raises(ValidationError):
        ClockPayload.model_validate(json.loads(line))


def test_an_integer_will_do_where_a_number_is_expected() -> None:
    assert SitePayload.model_validate({"id": "rx1", "altitude_m": 300}).altitude_m == 300.0


def test_what_was_written_cannot_change() -> None:
    clock = ClockPayload()
    with pytest.raises(ValidationError):
        clock.locked = True  # type: ignore[misc]


def test_a_count_fits_into_64_bits() -> None:
    with pytest.raises(ValidationError):
        OutboxPayload(depth=2**63, bytes=0, on_disk=True)
    with pytest.raises(ValidationError):
        OutboxPayload(depth=-1, bytes=0, on_disk=True)
    with pytest.raises(ValidationError):
        OutboxPayload(depth=0, bytes=0, on_disk=True, oldest_age_s=math.nan)
