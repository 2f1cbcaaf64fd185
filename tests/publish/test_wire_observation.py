"""Observations out and back, and every kind of line that is none."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.encoding import to_json
from heimdall_edge.publish.wire_observation import observation_payload, parse_observation
from heimdall_edge.signal.measure import observation_id
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    FrequencyError,
    Observation,
    Place,
    ReceiverInfo,
    SampleCount,
)

ObservationOf = Callable[..., Observation]

LINE: dict[str, Any] = {
    "schema": "heimdall.observation/1",
    "station": "monte",
    "receiver": {"id": "rx1", "latitude": 45.0, "longitude": 7.0},
    "channel": "r1",
    "frequency_hz": 145.6e6,
    "started_at": "2026-01-31T12:34:56.789012Z",
    "duration_s": 1.5,
    "level_dbfs": -60.0,
}

finite = st.floats(-200, 200)
maybe = st.none() | finite


def plain(observation: Observation) -> dict[str, Any]:
    """All that a line carries, arrays apart."""
    found = asdict(replace(observation, mel=None, snippet=None, detected_monotonic_s=None))
    found["start_utc_ns"] //= 1_000
    return found


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    heard = draw(st.booleans())
    received = draw(st.integers(0, 10**12))
    clipped = draw(st.integers(0, received))
    count = SampleCount(received, draw(st.integers(0, 10**9)), draw(st.integers(0, 9)), clipped)
    return Observation(
        observation_id=draw(st.text("0123456789abcdef", min_size=1, max_size=16)),
        receiver=ReceiverInfo(
            station=draw(st.from_regex(r"[-._A-Za-z0-9]{1,64}", fullmatch=True)),
            receiver_id=draw(st.from_regex(r"[-._A-Za-z0-9]{1,64}", fullmatch=True)),
            place=Place(draw(st.floats(-90, 90)), draw(st.floats(-180, 180)), draw(finite), 9.0),
            level_offset_db=draw(finite),
            level_offset_sd_db=draw(st.none() | st.floats(0, 40)),
        ),
        channel="r1",
        frequency_hz=draw(st.floats(1e3, 3e11)),
        start_utc_ns=draw(st.integers(0, 9_214_646_400 * 10**9 - 1)),
        duration_s=draw(st.floats(0, 600)),
        heard=heard,
        level_dbfs=draw(finite) if heard else None,
        noise_floor_dbfs=draw(maybe) if heard else draw(finite),
        level_dbm=draw(maybe),
        noise_floor_dbm=draw(maybe),
        gain_db=draw(maybe),
        snr_db=draw(maybe),
        bandwidth_hz=draw(st.none() | st.floats(1, 1e7)),
        frequency_offset_hz=draw(maybe),
        count=count,
        clipped_fraction=count.clipped_fraction,
        clock=draw(
            st.builds(ClockState, st.sampled_from(ClockSource), st.none() | st.floats(1e-9, 10))
        ),
        frequency_error=draw(
            st.none() | st.builds(FrequencyError, st.floats(-500, 500), st.floats(0, 100))
        ),
        scene_id=draw(st.none() | st.text(min_size=1, max_size=40)),
    )


@given(observations())
@settings(max_examples=60, deadline=None)
def test_what_goes_out_comes_back(observation: Observation) -> None:
    back = parse_observation(to_json(observation_payload(observation)))
    assert plain(back) == plain(observation)


LEVELS = ("level_dbfs", "level_dbm", "noise_floor_dbfs", "noise_floor_dbm")


def test_what_was_heard_under_automatic_gain_goes_out_without_a_level_and_comes_back(
    observation_of: ObservationOf,
) -> None:
    heard = observation_of(level_dbfs=None, level_dbm=None, noise_floor_dbm=None)
    payload = observation_payload(heard)
    assert payload["levels_compare"] is False
    assert plain(parse_observation(to_json(payload))) == plain(heard)


def test_a_silence_that_says_nothing_goes_out_and_comes_back_as_such(
    observation_of: ObservationOf,
) -> None:
    silent = observation_of(heard=False, **dict.fromkeys(LEVELS))
    payload = observation_payload(silent)
    assert payload["levels_compare"] is False
    assert plain(parse_observation(to_json(payload))) == plain(silent)


@pytest.mark.parametrize("heard", [True, False])
def test_levels_that_another_station_says_do_not_compare_are_not_taken(heard: bool) -> None:
    said = dict.fromkeys(LEVELS, -50.0)
    back = parse_observation(to_json({**LINE, **said, "heard": heard, "levels_compare": False}))
    assert (back.level_dbfs, back.level_dbm, back.noise_floor_dbm) == (None, None, None)
    assert back.noise_floor_dbfs == (-50.0 if heard else None)
    taken = parse_observation(to_json({**LINE, **said, "heard": heard, "levels_compare": True}))
    assert taken.level_dbfs == taken.noise_floor_dbm == -50.0


def test_levels_that_compare_must_be_there(observation_of: ObservationOf) -> None:
    payload = observation_payload(observation_of(level_dbfs=None, level_dbm=None))
    with pytest.raises(PayloadError, match="level_dbfs: absent"):
        parse_observation(to_json({**payload, "levels_compare": True}))


def test_clipped_samples_are_counted_exactly_where_they_are_told() -> None:
    samples = {"received": 10**12, "clipped": 3}
    line = {**LINE, "samples": samples, "clipped_fraction": 0.5}
    assert parse_observation(to_json(line)).count.clipped == 3
    del samples["clipped"]
    assert parse_observation(to_json(line)).count.clipped == 5 * 10**11


def test_arrays_travel_only_when_asked_for(observation_of: ObservationOf) -> None:
    observation = observation_of()
    assert not {"mel", "iq"} & observation_payload(observation).keys()
    payload = observation_payload(observation, include_mel=True, include_iq=True)
    back = parse_observation(to_json(payload))
    assert back.mel is not None
    assert back.snippet is not None
    assert observation.mel is not None
    assert observation.snippet is not None
    np.testing.assert_allclose(back.mel.db_over_floor, observation.mel.db_over_floor, atol=0.04)
    np.testing.assert_allclose(back.snippet.iq, observation.snippet.iq, atol=1e-4)
    assert back.snippet.start_utc_ns == observation.snippet.start_utc_ns


def test_the_payload_has_the_fields_of_the_contract(observation_of: ObservationOf) -> None:
    payload = observation_payload(observation_of(), include_mel=True, include_iq=True)
    assert payload.keys() >= {
        "schema", "observation_id", "station", "receiver", "channel", "frequency_hz", "started_at",
        "duration_s", "level_dbfs", "gain_db", "snr_db", "noise_floor_dbfs", "bandwidth_hz",
        "frequency_offset_hz", "clipped_fraction", "samples", "clock", "mel", "iq", "heard",
    }  # fmt: skip
    assert payload["schema"] == "heimdall.observation/1"
    assert payload["receiver"].keys() >= {"id", "latitude", "longitude", "altitude_m"}
    assert payload["samples"] == {
        "received": 3_600_000, "lost": 10, "dropped": 20, "clipped": 36,
    }  # fmt: skip
    assert "levels_compare" not in payload
    assert payload["clock"] == {"source": "gnss", "sigma_s": 1e-7, "locked": True}
    assert payload["mel"].keys() == {"n_mels", "n_frames", "encoding", "data"}
    assert payload["iq"]["datatype"] == "ci16_le"


def test_what_is_not_finite_is_absent_or_refused(observation_of: ObservationOf) -> None:
    payload = observation_payload(observation_of(snr_db=-math.inf, bandwidth_hz=math.nan))
    assert not {"snr_db", "bandwidth_hz"} & payload.keys()
    with pytest.raises(PayloadError) as caught:
        observation_payload(observation_of(frequency_hz=math.nan))
    assert caught.value.field == "frequency_hz"


def test_the_shortest_line_is_read_and_its_id_derived() -> None:
    found = parse_observation(json.dumps({k: v for k, v in LINE.items() if k != "schema"}))
    assert found.observation_id == observation_id(
        station="monte", receiver_id="rx1", channel="r1", start_utc_ns=found.start_utc_ns
    )
    assert found.receiver.key == ("monte", "rx1")
    assert found.heard
    assert found.clock == ClockState()
    assert found.receiver.level_offset_sd_db is None


def test_a_receiver_that_heard_nothing_says_its_limit() -> None:
    silent = {**LINE, "heard": False, "level_dbfs": None, "noise_floor_dbfs": -95.0}
    found = parse_observation(json.dumps(silent))
    assert not found.heard
    assert found.level_dbfs is None
    assert found.noise_floor_dbfs == -95.0


def test_a_place_that_is_not_known_is_not_zero() -> None:
    nowhere = {**LINE, "receiver": {"id": "rx1", "latitude": None}}
    place = parse_observation(json.dumps(nowhere)).receiver.place
    assert math.isnan(place.latitude_deg)
    assert math.isnan(place.longitude_deg)
    payload = observation_payload(parse_observation(json.dumps(nowhere)))
    assert not {"latitude", "longitude"} & payload["receiver"].keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "heimdall.fix/1"),
        ("schema", "heimdall.observation/2"),
        ("station", "a/b"),
        ("station", None),
        ("receiver", None),
        ("receiver.id", "#"),
        ("receiver.latitude", "45"),
        ("channel", "x" * 65),
        ("frequency_hz", 0),
        ("frequency_hz", "145 MHz"),
        ("frequency_hz", 10**400),
        ("started_at", 1_790_000_000),
        ("started_at", "yesterday"),
        ("started_at", "2026-01-31T12:34:56" + "9" * 1000),
        ("duration_s", -1),
        ("duration_s", 1e300),
        ("level_dbfs", True),
        ("level_dbfs", None),
        ("heard", "false"),
        ("clipped_fraction", 1.5),
        ("samples", {"lost": -1}),
        ("clock", {"source": "sundial"}),
        ("scene_id", ""),
        ("scene_id", "x" * 1000),
        ("mel", {"n_mels": 10**9, "n_frames": 1, "encoding": "base64_f16_le", "data": ""}),
        ("mel", {"n_mels": 1, "n_frames": 1, "encoding": "pickle", "data": ""}),
        ("iq", {"datatype": "cf64", "sample_rate_hz": 1, "encoding": "base64", "data": ""}),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    line = json.loads(json.dumps(LINE))
    *path, last = field.split(".")
    inner = line
    for part in path:
        inner = inner[part]
    inner[last] = value
    with pytest.raises(PayloadError) as caught:
        parse_observation(json.dumps(line))
    assert caught.value.field.startswith(field)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("heard", "field"), [(True, "level_dbfs"), (False, "noise_floor_dbfs")])
def test_a_line_without_the_number_that_matters_is_refused(heard: bool, field: str) -> None:
    with pytest.raises(PayloadError, match="absent") as caught:
        parse_observation(json.dumps({**LINE, "heard": heard, "level_dbfs": None}))
    assert caught.value.field == field


@pytest.mark.parametrize("missing", ["station", "receiver", "channel", "started_at", "duration_s"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(PayloadError, match="required") as caught:
        parse_observation(json.dumps({k: v for k, v in LINE.items() if k != missing}))
    assert caught.value.field == missing


def test_literals_that_are_not_json_are_refused_wherever_they_stand() -> None:
    text = json.dumps({**LINE, "remark": {"depth": [math.nan]}})
    with pytest.raises(PayloadError, match="not JSON"):
        parse_observation(text)


def test_a_line_of_absurd_size_is_refused_unread() -> None:
    with pytest.raises(PayloadError, match="at most"):
        parse_observation(b" " * (4 * 2**20 + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*LINE, "mel", "iq", "samples", "clock"]), json_values))
@settings(max_examples=100, deadline=None)
def test_whatever_a_field_holds_it_is_read_or_refused(changes: dict[str, Any]) -> None:
    with contextlib.suppress(PayloadError):
        parse_observation(json.dumps({**LINE, **changes}))


@given(st.integers(0, 400), st.binary(max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_corrupted_line_is_read_or_refused(at: int, noise: bytes) -> None:
    line = json.dumps(LINE).encode()
    with contextlib.suppress(PayloadError):
        parse_observation(line[:at] + noise + line[at + len(noise) :])
