from __future__ import annotations

import math

import pytest

from heimdall_edge.sources.json_checks import as_number, as_object, as_place, as_words, parsed
from heimdall_edge.types import Place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("NaN", "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ("[" * 100_000, "nested too deeply|no JSON"),
        ("1" * 101, "101 characters"),
        ("9" * 99, None),
    ],
)
def test_a_text_is_json_of_bounded_size_or_refused_with_words(text, why):
    max_chars = 100 if text.isdigit() else 1 << 20
    if why is None:
        assert parsed(text, max_chars=max_chars) == int(text)
        return
    with pytest.raises(ValueError, match=why):
        parsed(text, max_chars=max_chars)


def test_a_number_of_absurdly_many_digits_is_refused():
    with pytest.raises(ValueError, match="digits"):
        parsed("1" * 5000, max_chars=10_000)


@pytest.mark.parametrize("value", ["1", None, True, math.nan, -1, 11, 10**400, [], {}])
def test_what_is_no_number_within_its_limits_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"fft_size is .*expected a number from 0 to 10"):
        as_number(value, "fft_size", least=0, greatest=10)


def test_numbers_objects_and_words_come_through():
    assert as_number(3, "n", least=0, greatest=10) == 3.0
    assert as_object({"a": 1}, "o") == {"a": 1}
    assert as_words("w" * 500) == "w" * 200
    assert as_words(5) == ""
    with pytest.raises(ValueError, match=r"config is \[1\]: expected a JSON object"):
        as_object([1], "config")


@pytest.mark.parametrize(
    ("gps", "altitude_m", "place"),
    [
        ({"lat": 45, "lon": 7.5}, 300, Place(45.0, 7.5, 300.0)),
        ({"lat": 45, "lon": 7.5}, "high", Place(45.0, 7.5, 0.0)),
        ({"lat": 91, "lon": 7.5}, 300, None),
        ({"lat": "45", "lon": 7.5}, 300, None),
        ({"lat": 45}, 300, None),
        ("(45, 7)", 300, None),
    ],
)
def test_a_place_is_whole_or_none(gps, altitude_m, place):
    assert as_place(gps, altitude_m) == place
