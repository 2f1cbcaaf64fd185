"""Writes KiwiSDR IQ wav files for tests, well-formed ones and others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

NAME = "20171127T104156Z_77500_DF0KL_iq.wav"
BEGUN_UTC_NS = 1_511_779_316_000_000_000  # `date -u -d 2017-11-27T10:41:56 +%s`
BEGUN_WEEK_NS = 124_934_000_000_000  # that instant in GPS time: Monday, and 18 s ahead of UTC
RATE_HZ = 12_001.14
WEEK_NS = 604_800_000_000_000
PAIR_BYTES = 8 + 10 + 8 + 2048


def stamp_ns(number: int) -> int:
    """GPS time of the week of block ``number``'s first sample, without jitter."""
    return (BEGUN_WEEK_NS + round(number * 512e9 / RATE_HZ)) % WEEK_NS


def chunk(name: bytes, content: bytes, *, claims: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if claims is None else claims) + content


def form(*, coding: int = 1, channels: int = 2, rate_hz: int = 12_001, bits: int = 16) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", coding, channels, rate_hz, 4 * rate_hz, 4, bits))


def stamp(at_ns: int, *, age_s: int = 3) -> bytes:
    return chunk(b"kiwi", struct.pack("<BBII", age_s, 0, at_ns // 10**9, at_ns % 10**9))


def samples_of(number: int) -> np.ndarray:
    """int16 [1024], I and Q in turn: each block has its own."""
    return (np.arange(1024) + 1024 * number).astype("<i2")


def content_of(
    numbers: Iterable[int], *, stamped: Callable[[int], bytes] = lambda n: stamp(stamp_ns(n))
) -> bytes:
    """A file's bytes with the blocks of these numbers."""
    blocks = [stamped(n) + chunk(b"data", samples_of(n).tobytes()) for n in numbers]
    return riff(form(), *blocks)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def write(folder: Path, content: bytes, *, name: str = NAME) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
