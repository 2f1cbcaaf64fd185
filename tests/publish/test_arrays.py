"""Spectrograms and IQ through text and back."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.arrays import iq_from, iq_payload, mel_from, mel_payload
from heimdall_edge.publish.payload_observation import IqPayload, MelPayload
from heimdall_edge.types import IQSnippet, Mel


def mel_line(n_mels: int, n_frames: int, data: str) -> MelPayload:
    return MelPayload(n_mels=n_mels, n_frames=n_frames, encoding="base64_f16_le", data=data)


def iq_line(data: str) -> IqPayload:
    return IqPayload(datatype="ci16_le", sample_rate_hz=12e3, encoding="base64", data=data)


def test_a_spectrogram_comes_back_to_a_thirtieth_of_a_decibel() -> None:
    db = np.random.default_rng(1).uniform(-10, 60, (128, 32)).astype(np.float32)
    back = mel_from(mel_payload(Mel(db))).db_over_floor
    assert back.dtype == np.float32
    assert not back.flags.writeable
    np.testing.assert_allclose(back, db, atol=1 / 30)


def test_a_spectrogram_is_rows_of_little_endian_half_floats() -> None:
    payload = mel_payload(Mel(np.array([[1, 2], [3, -0.5]], np.float32)))
    assert base64.b64decode(payload.data) == struct.pack("<4e", 1, 2, 3, -0.5)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (mel_line(2, 2, base64.b64encode(b"\0" * 6).decode()), "6 bytes, expected 8"),
        (mel_line(1, 1, "!!!!"), "not base64"),
        (mel_line(1, 1, "A" * 1000), "1000 characters"),
        (mel_line(1, 1, base64.b64encode(struct.pack("<e", float("nan"))).decode()), "NaN"),
        (mel_line(1, 1, "é==="), "not base64"),
    ],
)
def test_a_spectrogram_that_is_none_is_refused(payload: MelPayload, message: str) -> None:
    with pytest.raises(PayloadError, match=message) as caught:
        mel_from(payload)
    assert caught.value.field == "mel.data"


@given(st.floats(1e-9, 1e3), st.integers(1, 400))
def test_iq_keeps_its_bits_at_any_level(amplitude: float, n_samples: int) -> None:
    iq = (amplitude * np.exp(2j * np.pi * 0.1 * np.arange(n_samples))).astype(np.complex64)
    payload = iq_payload(IQSnippet(iq, 12e3, 1_000_500), started_utc_ns=1_000_000)
    back = iq_from(payload, started_utc_ns=1_000_000)
    np.testing.assert_allclose(back.iq, iq, atol=amplitude / 30_000)
    assert back.start_utc_ns == 1_000_500
    assert back.sample_rate_hz == 12e3


def test_silence_is_iq_too() -> None:
    payload = iq_payload(IQSnippet(np.zeros(4, np.complex64), 12e3, 0), started_utc_ns=0)
    assert payload.full_scale == 1.0
    assert not iq_from(payload, started_utc_ns=0).iq.any()


@pytest.mark.parametrize("data", ["", "AAAA", "not base64 at all"])
def test_iq_that_is_not_whole_samples_is_refused(data: str) -> None:
    with pytest.raises(PayloadError) as caught:
        iq_from(iq_line(data), started_utc_ns=0)
    assert caught.value.field == "iq.data"
