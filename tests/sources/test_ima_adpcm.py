from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.ima_adpcm import decode, nibbles_of
from tests.emulators import adpcm_encoder


def ours(data: bytes) -> list[int]:
    return decode(nibbles_of(data)).tolist()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_decode_as_the_recommendation_says(data):
    assert ours(data) == adpcm_encoder.decode(data)


@pytest.mark.parametrize("data", [b"\x77" * 300, b"\xff" * 300, (b"\x77" * 9 + b"\xff" * 30) * 20])
def test_what_runs_out_of_sixteen_bits_is_held_there(data):
    decoded = ours(data)
    assert decoded == adpcm_encoder.decode(data)
    assert max(map(abs, decoded)) >= 32767


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_the_standard_library_agrees_as_long_as_it_has_a_decoder(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="gone since Python 3.13")
    high_nibble_first = bytes((byte << 4 | byte >> 4) & 0xFF for byte in data)
    frames, _ = audioop.adpcm2lin(high_nibble_first, 2, None)
    assert ours(data) == np.frombuffer(frames, np.int16).tolist()


def test_a_smooth_curve_comes_back_within_its_step():
    curve = (3000 * np.sin(np.arange(500) / 40)).astype(int)
    decoded = ours(adpcm_encoder.encode(curve.tolist()))
    assert np.abs(np.array(decoded) - curve)[20:].max() < 60


def test_nothing_decodes_to_nothing():
    assert ours(b"") == []
