"""JSON in and out, and how faults are named."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import BaseModel

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.encoding import (
    faults_named,
    finite,
    milliseconds,
    read_object,
    sealed,
    to_json,
)


def test_json_is_one_compact_line_of_utf_8() -> None:
    assert to_json({"a": [1.5, None], "b": "σ\n"}) == '{"a":[1.5,null],"b":"σ\\n"}'.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_never_goes_out(number: float) -> None:
    with pytest.raises(PayloadError, match="cannot be written as JSON"):
        to_json({"a": {"b": [number]}})


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"1", b'"x"', b"null", b'{"a":NaN}', b'{"a":Infinity}',
        b'{"a":-Infinity}', b"\xff\xfe", b'{"a":1}{', b"[" * 100_000, b'{"a":' * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        read_object(line, max_bytes=1_000_000)
    assert caught.value.field == ""


def test_a_long_line_is_refused_before_it_is_read() -> None:
    with pytest.raises(PayloadError, match="11 bytes long, expected 10 at most"):
        read_object("[" * 11, max_bytes=10)


def test_sealing_says_when_it_was_sent_and_whether_it_waited() -> None:
    stored = b'{"schema":"heimdall.fix/1","replayed":false,"latency_ms":{"infer":1.0}}'
    fresh = sealed(stored, published_at_utc_ns=1_500_000, replayed=False, publish_s=0.0125)
    assert fresh["published_at"] == "1970-01-01T00:00:00.001500Z"
    assert fresh["latency_ms"] == {"infer": 1.0, "publish": 12.5}
    old = sealed(stored, published_at_utc_ns=0, replayed=True)
    assert old["replayed"] is True
    assert old["latency_ms"] == {"infer": 1.0}
    assert "latency_ms" not in sealed(b"{}", published_at_utc_ns=0, replayed=False, publish_s=1.0)


class Inner(BaseModel):
    number: int


class Outer(BaseModel):
    inner: list[Inner]


def test_a_fault_is_named_by_its_path_and_what_was_found_is_not_said() -> None:
    with pytest.raises(PayloadError) as caught, faults_named():
        Outer.model_validate(json.loads('{"inner":[{"number":1},{"number":"secret"},{}]}'))
    assert caught.value.field == "inner.1.number"
    assert "(and 1 more)" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_any_other_value_error_becomes_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="covariance"), faults_named():
        raise ValueError("covariance is none")


def test_only_finite_numbers_are_numbers() -> None:
    assert finite(None) is finite(math.nan) is finite(-math.inf) is None
    assert finite(0) == 0.0
    assert milliseconds(0.0123456) == 12.346
