from __future__ import annotations

import json

import pytest

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.sigmf_metadata import (
    MAX_CAPTURES,
    MAX_FILE_BYTES,
    read_metadata,
)
from tests.sources.sigmf_writer import CAPTURE, metadata, write

# ── values ────────────────────────────────────────────────────────────────────────────────


def with_value(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    document = json.loads(json.dumps(metadata()))
    *parents, key = path
    part = document
    for parent in parents:
        part = part[parent]
    part[key] = value
    return document


REFUSED = [
    (("global", "core:datatype"), "rf32_le", "'cu8', 'ci8', 'ci16_le', 'ci16_be' or 'cf32_le'"),
    (("global", "core:datatype"), "ci16", "ci16_le"),
    (("global", "core:datatype"), None, "ci16_le"),
    (("global", "core:version"), "2.0.0", "pattern"),
    (("global", "core:version"), 1.2, "string"),
    (("global", "core:sample_rate"), 0, "greater than or equal to 1"),
    (("global", "core:sample_rate"), 1e13, "less than or equal to 3"),
    (("global", "core:sample_rate"), float("nan"), "finite"),
    (("global", "core:sample_rate"), float("inf"), "finite"),
    (("global", "core:sample_rate"), "2400000", "valid number"),
    (("global", "core:num_channels"), 2, "1"),
    (("global", "core:offset"), -1, "greater than or equal to 0"),
    (("global", "core:trailing_bytes"), 1.5, "integer"),
    (("global", "core:sha512"), "abc", "pattern"),
    (("global", "core:dataset"), "../secret.bin", "bare name"),
    (("global", "core:dataset"), "/etc/passwd", "bare name"),
    (("global", "core:dataset"), "a\\b", "bare name"),
    (("global", "core:dataset"), "a\0b", "bare name"),
    (("global", "core:dataset"), "..", "bare name"),
    (("global", "core:dataset"), "", "bare name"),
    (("global", "core:dataset"), "é" * 200, "bare name"),
    (("global", "heimdall:gain_db"), 1e9, "less than or equal to 200"),
    (("captures", 0, "core:sample_start"), -1, "greater than or equal to 0"),
    (("captures", 0, "core:sample_start"), 2**63, "less than 922337203685477"),
    (("captures", 0, "core:sample_start"), True, "integer"),
    (("captures", 0, "core:sample_start"), 0.5, "integer"),
    (("captures", 0, "core:frequency"), -1.0, "greater than or equal to 0"),
    (("captures", 0, "core:frequency"), 1e12, "less than or equal to 3"),
    (("captures", 0, "core:datetime"), "yesterday", "RFC 3339"),
    (("captures", 0, "core:datetime"), "2026-02-30T00:00:00Z", "day"),
    (("captures", 0, "core:header_bytes"), "4", "integer"),
    (("captures", 0, "core:geolocation"), {"type": "Polygon", "coordinates": [1, 2]}, "'Point'"),
    (("captures", 0, "core:geolocation"), {"type": "Point", "coordinates": [7]}, "at least 2"),
    (("captures", 0, "core:geolocation"), {"type": "Point", "coordinates": [7, 95]}, "latitude"),
    (("captures", 0, "core:geolocation"), {"type": "Point", "coordinates": [190, 5]}, "longitude"),
    (("captures", 0, "core:geolocation"), {"type": "Point", "coordinates": [7, 5, 1e6]}, "100000"),
    (("captures", 0), 5, "object"),
    (("captures",), {}, "array"),
    (("global",), [], "object"),
    (("annotations",), None, "array"),
]


@pytest.mark.parametrize(("path", "value", "expected"), REFUSED)
def test_a_wrong_value_is_refused_by_key_value_and_what_was_expected(
    tmp_path, path, value, expected
):
    file = write(tmp_path, with_value(path, value))
    with pytest.raises(SourceDataError) as caught:
        read_metadata(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert str(path[-1]) in message
    assert expected in message
    if isinstance(value, str):
        assert repr(value)[:20] in message


@pytest.mark.parametrize(
    "path",
    [
        ("global",),
        ("captures",),
        ("annotations",),
        ("global", "core:datatype"),
        ("global", "core:version"),
        ("captures", 0, "core:sample_start"),
    ],
)
def test_a_missing_key_is_refused_by_name(tmp_path, path):
    document = with_value(path, None)
    part = document
    for parent in path[:-1]:
        part = part[parent]
    del part[path[-1]]
    with pytest.raises(SourceDataError, match=f"{path[-1]}: Field required"):
        read_metadata(write(tmp_path, document))


def test_all_faults_are_named_up_to_a_few(tmp_path):
    captures = [CAPTURE | {"core:sample_start": -1}] * 8
    with pytest.raises(SourceDataError) as caught:
        read_metadata(write(tmp_path, metadata(*captures)))
    assert str(caught.value).count("core:sample_start = -1") == 5
    assert str(caught.value).endswith("; and 3 more")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"{", b"[]", b"null", b"[" * 100_000, b'{"global": 1' + b"9" * 9_999],
)
def test_what_is_no_json_object_is_refused(tmp_path, content):
    with pytest.raises(SourceDataError, match=r"rx\.sigmf-meta: "):
        read_metadata(write(tmp_path, content))


def test_a_file_too_large_to_be_metadata_is_refused_unread(tmp_path):
    path = tmp_path / "rx.sigmf-meta"
    with path.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(SourceDataError, match=f"expected at most {MAX_FILE_BYTES}"):
        read_metadata(path)


def test_more_captures_than_anybody_records_are_refused(tmp_path):
    one = json.dumps({"core:sample_start": 0}).encode()
    document = json.dumps(metadata()).encode()
    many = b"[" + b",".join([one] * (MAX_CAPTURES + 1)) + b"]"
    document = document.replace(json.dumps([CAPTURE]).encode(), many)
    with pytest.raises(SourceDataError, match=f"at most {MAX_CAPTURES}"):
        read_metadata(write(tmp_path, document))


def test_an_extension_that_must_be_understood_is_refused(tmp_path):
    extensions = [{"name": "antenna", "version": "1.0.0", "optional": False}]
    with pytest.raises(SourceDataError, match="core:extensions: 'antenna' is not optional"):
        read_metadata(write(tmp_path, metadata(extensions=extensions)))


def test_what_is_not_used_is_not_judged(tmp_path):
    document = metadata(
        CAPTURE | {"core:sample_start": 0.0, "antenna:gain": "much"},
        num_channels=1.0,
        author=7,
        extensions=[
            {"name": "heimdall", "version": "1.0.0", "optional": False},
            {"name": "antenna", "version": "1.0.0", "optional": True},
        ],
    )
    document["annotations"] = [{"core:sample_start": "later"}]
    read = read_metadata(write(tmp_path, document))
    assert read.captures[0].sample_start == 0
    assert read.whole.num_channels == 1
