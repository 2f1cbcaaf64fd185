"""The fix as it is published, against closed forms and NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.ellipse import error_circle, error_ellipse
from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.encoding import to_json
from heimdall_edge.publish.payload_fix import FixPayload
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.types import ClockSource, ClockState, Fix, Position, SampleCount

FixOf = Callable[..., Fix]


def position_of(covariance: tuple[float, float, float]) -> Position:
    return Position(
        45.0,
        7.0,
        covariance,
        error_ellipse(covariance, 0.95),
        error_circle(covariance, 0.95),
        confidence=0.5,
    )


def test_the_payload_has_the_fields_of_the_contract(fix_of: FixOf) -> None:
    payload = fix_payload(fix_of(7), published_at_utc_ns=1_790_000_100 * 10**9, geojson=True)
    assert payload.keys() == {
        "schema", "fix_id", "station", "channel", "frequency_hz", "timestamp", "duration_s",
        "published_at", "replayed", "position", "uncertainty", "covariance_enu_m2", "ellipse",
        "circle", "confidence", "method", "receivers", "model", "model_version", "variant",
        "quality", "inference_time_ms", "latency_ms", "_cache_hit", "geojson",
    }  # fmt: skip
    assert payload["schema"] == "heimdall.fix/1"
    assert payload["timestamp"] == "2026-09-21T14:13:27.000000Z"
    assert payload["published_at"] == "2026-09-21T14:15:00.000000Z"
    assert payload["position"] == {"latitude": 45.123456, "longitude": 7.654321}
    assert payload["covariance_enu_m2"] == [90_000.0, 20_000.0, 40_000.0]
    assert payload["ellipse"].keys() == {
        "semi_major_m", "semi_minor_m", "azimuth_deg", "probability",
    }  # fmt: skip
    assert payload["circle"].keys() == {"radius_m", "probability"}
    assert payload["model"] == {"name": "physics", "version": "1.0.0", "sha256": "0" * 64}
    assert payload["latency_ms"] == {"detect": 10.0, "features": 2.0, "infer": 3.2}
    assert payload["inference_time_ms"] == 3.2
    assert payload["_cache_hit"] is False
    FixPayload.model_validate(payload)


def test_who_took_part_is_said_with_level_and_arrival(fix_of: FixOf) -> None:
    first, second, third = fix_payload(fix_of(), published_at_utc_ns=0)["receivers"]
    assert first == {
        "id": "rx0", "station": "monte", "heard": True, "snr_db": 32.0, "level": -60.25,
        "level_unit": "dBFS", "toa_us": 0.0, "toa_sigma_us": 0.3, "toa_is_outlier": False,
    }  # fmt: skip
    assert second["toa_is_outlier"] is True
    assert "toa_us" not in third


def test_a_calibrated_level_goes_before_a_relative_one(fix_of: FixOf) -> None:
    scene = fix_of().scene
    calibrated = replace(scene.observations[0], level_dbm=-101.5)
    mute = replace(scene.observations[1], heard=False, level_dbfs=None)
    changed = replace(scene, observations=(calibrated, mute), arrivals=(), scene_id="tx-9")
    payload = fix_payload(replace(fix_of(), scene=changed), published_at_utc_ns=0)
    assert payload["scene_id"] == "tx-9"
    first, second = payload["receivers"]
    assert (first["level"], first["level_unit"]) == (-101.5, "dBm")
    assert second["heard"] is False
    assert not {"level", "level_unit", "toa_us"} & second.keys()


@given(st.floats(1, 1e4), st.floats(0.05, 1), st.floats(0, math.pi, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_the_older_trio_is_what_numpy_says(
    fix_of: FixOf, major_m: float, ratio: float, direction_rad: float
) -> None:
    axis = np.array([math.cos(direction_rad), math.sin(direction_rad)])
    across = np.array([-axis[1], axis[0]])
    covariance = major_m**2 * (np.outer(axis, axis) + ratio**2 * np.outer(across, across))
    triple = (float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1]))
    trio = fix_payload(fix_of(position=position_of(triple)), published_at_utc_ns=0)["uncertainty"]
    variances, vectors = np.linalg.eigh(covariance)
    assert trio["sigma_x"] == pytest.approx(math.sqrt(variances[1]), rel=1e-6)
    assert trio["sigma_y"] == pytest.approx(math.sqrt(variances[0]), rel=1e-6)
    assert trio["confidence_interval"] == 0.6827
    assert -90 < trio["theta"] <= 90
    if ratio < 0.99:
        theta = math.radians(trio["theta"])
        assert abs(vectors[:, 1] @ [math.cos(theta), math.sin(theta)]) == pytest.approx(1, abs=1e-6)


def test_a_refusal_is_published_with_its_reason_and_without_zeros(
    refusal_of: Callable[..., Fix],
) -> None:
    payload = fix_payload(refusal_of(), published_at_utc_ns=0, replayed=True, geojson=True)
    assert payload["position"] is None
    assert b'"position":null' in to_json(payload)
    assert payload["reason"] == "too_few_receivers"
    assert payload["replayed"] is True
    assert not {
        "uncertainty", "covariance_enu_m2", "ellipse", "circle", "confidence", "method", "geojson",
    } & payload.keys()  # fmt: skip
    FixPayload.model_validate(payload)


def test_a_confidence_that_is_not_known_is_absent(fix_of: FixOf) -> None:
    position = replace(position_of((100.0, 0.0, 100.0)), confidence=math.nan)
    payload = fix_payload(fix_of(position=position, ood=math.nan), published_at_utc_ns=0)
    assert "confidence" not in payload
    assert "ood" not in payload["quality"]


@pytest.mark.parametrize(
    "covariance", [(math.nan, 0.0, 1.0), (1.0, 2.0, 1.0), (math.inf, 0.0, 1.0)]
)
def test_a_covariance_that_is_none_is_never_published(
    fix_of: FixOf, covariance: tuple[float, float, float]
) -> None:
    position = replace(position_of((100.0, 0.0, 100.0)), covariance_enu_m2=covariance)
    with pytest.raises(PayloadError, match="covariance"):
        fix_payload(fix_of(position=position), published_at_utc_ns=0)


def test_a_position_off_the_earth_is_never_published(fix_of: FixOf) -> None:
    position = replace(position_of((100.0, 0.0, 100.0)), latitude_deg=math.nan)
    with pytest.raises(PayloadError) as caught:
        fix_payload(fix_of(position=position), published_at_utc_ns=0)
    assert caught.value.field == "latitude"


def test_quality_is_that_of_the_worst_receiver_that_heard_it(fix_of: FixOf) -> None:
    good, bad, deaf = fix_of().scene.observations
    bad = replace(
        bad,
        clock=ClockState(ClockSource.NTP, 5e-3),
        clipped_fraction=0.25,
        count=SampleCount(received=100, lost=7, dropped=3),
    )
    deaf = replace(deaf, heard=False, clipped_fraction=0.9)
    scene = replace(fix_of().scene, observations=(good, bad, deaf))
    quality = fix_payload(fix_of(scene=scene), published_at_utc_ns=0)["quality"]
    assert quality == {
        "clock": {"source": "ntp", "sigma_s": 5e-3, "locked": False},
        "lost": 17, "dropped": 23, "clipped_fraction": 0.25, "ood": 0.1,
    }  # fmt: skip


def test_geojson_is_a_feature_with_point_and_polygon(fix_of: FixOf) -> None:
    feature = fix_payload(fix_of(), published_at_utc_ns=0, geojson=True)["geojson"]
    point, polygon = feature["geometry"]["geometries"]
    assert feature["type"] == "Feature"
    assert point == {"type": "Point", "coordinates": [7.654321, 45.123456]}
    ring = polygon["coordinates"][0]
    assert ring[0] == ring[-1]
    assert feature["properties"]["fix_id"] == "fix-000000"
