"""The manifest in the ONNX file: read whole, and refused by the name of the field."""

from __future__ import annotations

import json

import pytest

from heimdall_edge.errors import ModelError
from heimdall_edge.locate.manifest import parse_manifest

DOMAIN = {
    "receivers": {"min": 3, "max": 32},
    "band_mhz": [100, 1000],
    "max_range_km": 300,
    "trained_on": "simulated scenes",
}
CALIBRATION = {
    "cov_scale": 1.25,
    "n": 400,
    "coverage_68": 0.69,
    "coverage_95": 0.94,
    "data": "a drive test",
}
MEL = {"sample_rate_hz": 16000, "n_mels": 64, "n_frames": 32}


def metadata(**changes: object) -> dict[str, str]:
    fields: dict[str, object] = {
        "schema": "locator/1",
        "name": "a-model",
        "version": "2.0.1",
        "domain": DOMAIN,
        "calibration": CALIBRATION,
        "mel": MEL,
    } | changes
    return {
        f"heimdall.{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
        if value is not None
    }


def test_a_whole_manifest_is_read():
    manifest = parse_manifest(metadata())
    assert (manifest.schema, manifest.name, manifest.version) == ("locator/1", "a-model", "2.0.1")
    assert (manifest.domain.min_receivers, manifest.domain.max_receivers) == (3, 32)
    assert manifest.domain.band_mhz == (100.0, 1000.0)
    assert manifest.domain.max_range_km == 300.0
    assert manifest.calibration.cov_scale == 1.25
    assert manifest.calibration.coverage_95 == 0.94
    assert manifest.mel == MEL


def test_mel_may_be_absent_and_so_may_a_calibration_s_coverage():
    manifest = parse_manifest(metadata(mel=None, calibration={"cov_scale": 1, "n": 0}))
    assert manifest.mel is None
    assert manifest.calibration.coverage_95 is None
    assert manifest.calibration.data is None


def test_a_file_without_a_manifest_says_so():
    with pytest.raises(ModelError, match=r"no manifest.*heimdall\.schema.*locator/1"):
        parse_manifest({})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schema": "locator/2"}, "heimdall.schema is 'locator/2': expected 'locator/1'"),
        ({"name": ""}, "heimdall.name is ''"),
        ({"name": "two words"}, "heimdall.name is 'two words'"),
        ({"version": None}, "heimdall.version"),
        ({"domain": None}, "heimdall.domain is missing"),
        ({"domain": "{"}, "heimdall.domain is '{': expected a JSON object"),
        ({"domain": "[" * 70_000}, "heimdall.domain is .*…: expected a JSON object"),
        ({"domain": "[" * 60_000}, "heimdall.domain is .*…: expected a JSON object"),
        ({"domain": [1]}, "heimdall.domain is .*: expected a JSON object"),
        ({"domain": DOMAIN | {"receivers": 3}}, "domain.receivers is 3: expected a JSON object"),
        (
            {"domain": DOMAIN | {"receivers": {"min": 0, "max": 3}}},
            "domain.receivers.min is 0: expected a whole number, 1 or more",
        ),
        (
            {"domain": DOMAIN | {"receivers": {"min": 4, "max": 3}}},
            "domain.receivers.max is 3: expected a whole number, 4 or more",
        ),
        (
            {"domain": DOMAIN | {"receivers": {"min": True, "max": 3}}},
            "domain.receivers.min is True",
        ),
        ({"domain": DOMAIN | {"band_mhz": [5]}}, r"domain.band_mhz is \[5\]"),
        ({"domain": DOMAIN | {"band_mhz": [5, 1]}}, "domain.band_mhz.*0 < lowest < highest"),
        ({"domain": DOMAIN | {"max_range_km": 0}}, "domain.max_range_km is 0: .* over 0"),
        ({"domain": DOMAIN | {"max_range_km": 1e400}}, "domain.max_range_km is inf"),
        ({"domain": DOMAIN | {"trained_on": ""}}, "domain.trained_on is ''"),
        ({"calibration": CALIBRATION | {"cov_scale": -1}}, "calibration.cov_scale is -1"),
        ({"calibration": CALIBRATION | {"cov_scale": "1"}}, "calibration.cov_scale is '1'"),
        ({"calibration": CALIBRATION | {"coverage_95": 95}}, "calibration.coverage_95 is 95"),
        ({"calibration": CALIBRATION | {"data": None}}, "calibration.data is None"),
        ({"mel": {"n_mels": 0, "n_frames": 1}}, "mel.n_mels is 0"),
        ({"mel": {"n_mels": 1}}, "mel.n_frames is None"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(changes, complaint):
    with pytest.raises(ModelError, match=complaint):
        parse_manifest(metadata(**changes))
