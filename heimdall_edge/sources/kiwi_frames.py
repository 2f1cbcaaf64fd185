"""A KiwiSDR's sound frames: bytes in, samples with their stamp and level out.

::

    "SND" flags u32 seq (LE)  u16 S-meter (BE)  age 0  u32 second, u32 ns (LE)  512 × (I, Q) s16
    ───── 4 ───────── 8 ────────────────── 10 ───────────────────────────── 20 ──────────────▶
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Literal

from heimdall_edge.sources.kiwi_stamps import stamp_ns

SOUND_TAG = b"SND"
FRAME_SAMPLES = 512
MAX_FRAME_SAMPLES = 1 << 16
_HEADER = struct.Struct("<3sBI2sBBII")
_SAMPLE_BYTES = 4
_SMETER_FLOOR_DBM = -127.0
_SMETER_TOP = 1304
"""The server cuts at −127 dBm and at +3.4 dBm."""
_SMETER_CUT_DB = 0.05
"""The server cuts the tenth of a dB off: on average so much is missing."""


class Flag(IntFlag):
    """The fourth byte of a frame."""

    PASSBAND_CHANGED = 0x01
    ADC_OVERFLOW = 0x02
    NEW_FREQUENCY = 0x04
    IQ = 0x08
    COMPRESSED = 0x10
    RESTART = 0x20
    SQUELCHED = 0x40
    LITTLE_ENDIAN = 0x80


@dataclass(frozen=True, slots=True)
class SoundFrame:
    """One frame of IQ."""

    flags: Flag
    sequence: int
    """Rises by 1 a frame, modulo 2³²."""
    smeter_dbm: float | None
    """At the frame's end; ``None`` at the meter's limits, and while the converter overflows."""
    age_s: int
    """Since the server last knew where it is; it counts to 252."""
    stamp_ns: int
    """GPS time of the week at the first sample, ns; ``kiwi_stamps.NO_STAMP`` where it has none."""
    payload: bytes = field(repr=False)
    """Interleaved I, Q in ``datatype``."""

    @property
    def datatype(self) -> Literal["ci16_be", "ci16_le"]:
        return "ci16_le" if Flag.LITTLE_ENDIAN in self.flags else "ci16_be"

    @property
    def n_samples(self) -> int:
        return len(self.payload) // _SAMPLE_BYTES


def parse_sound(message: bytes) -> SoundFrame:
    """Read a frame.

    Raises
    ------
    ValueError
        It is cut short, too long, or no IQ; it says what was expected.
    """
    n_bytes = len(message) - _HEADER.size
    if n_bytes < 0 or not message.startswith(SOUND_TAG):
        raise ValueError(
            f"sound frame of {len(message)} bytes that begins with {message[:4]!r}; "
            f"expected 'SND' and {_HEADER.size} bytes of header at least"
        )
    _, flags, sequence, smeter, age_s, _, second, ns = _HEADER.unpack_from(message)
    flag = Flag(flags)
    if Flag.IQ not in flag or Flag.COMPRESSED in flag:
        raise ValueError(f"sound frame with flags {flags:#04x}; expected IQ (0x08), not compressed")
    if not 0 < n_bytes <= MAX_FRAME_SAMPLES * _SAMPLE_BYTES or n_bytes % _SAMPLE_BYTES:
        raise ValueError(
            f"sound frame with {n_bytes} bytes of samples; expected some {FRAME_SAMPLES} × 4"
        )
    return SoundFrame(
        flags=flag,
        sequence=sequence,
        smeter_dbm=_level_dbm(int.from_bytes(smeter, "big"), flag),
        age_s=age_s,
        stamp_ns=stamp_ns(age_s, second, ns),
        payload=message[_HEADER.size :],
    )


def _level_dbm(reading: int, flags: Flag) -> float | None:
    """RSS in dBm = 0.1 · reading − 127, where it says anything."""
    if Flag.ADC_OVERFLOW in flags or not 0 < reading < _SMETER_TOP:
        return None
    return _SMETER_FLOOR_DBM + 0.1 * reading + _SMETER_CUT_DB
