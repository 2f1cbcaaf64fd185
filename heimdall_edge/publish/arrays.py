"""Spectrograms and samples ⇄ text: the two arrays that an observation may carry.

A mel spectrogram goes as half-precision floats: 0.03 dB at worst, at half the size of float32.
IQ goes as 16-bit integers on a scale of its own (``full_scale``), so that a weak signal keeps
its bits.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.payload_observation import IqPayload, MelPayload
from heimdall_edge.types import IQSnippet, Mel, frozen_array

INT16_SCALE = 32_768


def mel_payload(mel: Mel) -> MelPayload:
    """A spectrogram as text."""
    n_mels, n_frames = mel.db_over_floor.shape
    return MelPayload(
        n_mels=n_mels,
        n_frames=n_frames,
        encoding="base64_f16_le",
        data=_text(mel.db_over_floor.astype("<f2").tobytes()),
    )


def mel_from(payload: MelPayload) -> Mel:
    """A spectrogram from text; PayloadError where size and data disagree, or it is not finite."""
    expected = 2 * payload.n_mels * payload.n_frames
    data = _bytes(payload.data, "mel.data", max_bytes=expected)
    if len(data) != expected:
        raise PayloadError(
            f"mel.data: {len(data)} bytes, expected {expected} "
            f"for {payload.n_mels} × {payload.n_frames} half-precision floats",
            field="mel.data",
        )
    rows = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(rows).all():
        raise PayloadError("mel.data: holds NaN or infinity", field="mel.data")
    return Mel(db_over_floor=frozen_array(rows.reshape(payload.n_mels, payload.n_frames)))


def iq_payload(snippet: IQSnippet, *, started_utc_ns: int) -> IqPayload:
    """IQ as text; ``started_utc_ns`` is what the line says in ``started_at``."""
    parts = np.ascontiguousarray(snippet.iq, np.complex64).view(np.float32)
    peak = float(np.max(np.abs(parts), initial=0.0))
    full_scale = peak * INT16_SCALE / (INT16_SCALE - 1) if peak > 0 else 1.0
    whole = np.rint(parts * (INT16_SCALE / full_scale)).astype("<i2")
    return IqPayload(
        datatype="ci16_le",
        sample_rate_hz=float(snippet.sample_rate_hz),
        encoding="base64",
        full_scale=full_scale,
        start_offset_us=(snippet.start_utc_ns - started_utc_ns) / 1_000,
        data=_text(whole.tobytes()),
    )


def iq_from(payload: IqPayload, *, started_utc_ns: int) -> IQSnippet:
    """IQ from text; PayloadError where it is not whole samples."""
    data = _bytes(payload.data, "iq.data", max_bytes=len(payload.data))
    if not data or len(data) % 4:
        raise PayloadError(
            f"iq.data: {len(data)} bytes, expected 4 for each sample of ci16_le, and one at least",
            field="iq.data",
        )
    parts = np.frombuffer(data, "<i2").astype(np.float32)
    parts *= payload.full_scale / INT16_SCALE
    return IQSnippet(
        iq=frozen_array(parts.view(np.complex64)),
        sample_rate_hz=payload.sample_rate_hz,
        start_utc_ns=started_utc_ns + round(payload.start_offset_us * 1_000),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str, field: str, *, max_bytes: int) -> bytes:
    if len(text) > 4 * (max_bytes // 3 + 1):
        raise PayloadError(
            f"{field}: {len(text)} characters, expected {max_bytes} bytes at most", field=field
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PayloadError(f"{field}: not base64: {error}", field=field) from None
