"""The chunks of a KiwiSDR's IQ wav file: where the blocks of samples lie, and their stamps.

::

    RIFF WAVE ─ fmt ─┬─ kiwi (stamp) ─ data (512 I, Q) ─┐
                     └──────────── again and again ◀────┘

An ordinary reader sees the first ``data`` only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import SEEK_END, BufferedReader
from pathlib import Path

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.kiwi_stamps import MIN_STAMPS, STALE_STAMPS, stamp_ns

SAMPLE_BYTES = 4
_RIFF = struct.Struct("<4sI4s")
_HEADER = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_STAMP = struct.Struct("<BBII")
_MAX_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A RIFF chunk: its name, how long it says to be, and how much of it the file holds."""

    name: bytes
    at_bytes: int
    n_bytes: int
    held_bytes: int

    @property
    def is_cut(self) -> bool:
        return self.held_bytes < self.n_bytes

    @property
    def end_bytes(self) -> int:
        return self.at_bytes + self.n_bytes + self.n_bytes % 2  # RIFF fills up to an even length


def _chunks(file: BufferedReader, n_bytes: int) -> Iterator[_Chunk]:
    """All chunks; ends early at half a header, or at zeros that a failing disk filled in."""
    at = _RIFF.size
    while at < n_bytes:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not any(header):
            return
        name, size = _HEADER.unpack(header)
        at += _HEADER.size
        chunk = _Chunk(name, at, size, n_bytes - at)
        yield chunk
        at = chunk.end_bytes


def opened(path: Path) -> BufferedReader:
    """Open a file, or say why not."""
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceDataError(f"{path}: {error.strerror}; expected a KiwiSDR wav file") from error


@dataclass(slots=True)
class Layout:
    """Where the blocks lie and what their stamps say, as far as the file has been walked."""

    nominal_rate_hz: float = 0.0
    block_bytes: int = 0
    offset_bytes: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    end_bytes: int = 0
    """Behind the last chunk that is whole, and is not a stamp without its samples."""

    @property
    def samples_per_block(self) -> int:
        return self.block_bytes // SAMPLE_BYTES

    def take(self, chunk: _Chunk, file: BufferedReader) -> None:
        """Take one whole chunk; ValueError where it does not belong there."""
        if chunk.is_cut and chunk.name not in {b"kiwi", b"data"}:
            raise ValueError(f"only {chunk.held_bytes} bytes are left; expected a whole chunk")
        match chunk.name:
            case b"fmt ":
                self._take_format(chunk, file)
            case b"kiwi":
                self._take_stamp(chunk, file)
            case b"data":
                self._take_samples(chunk)
        if chunk.name != b"kiwi" and not chunk.is_cut:
            self.end_bytes = chunk.end_bytes

    def _take_format(self, chunk: _Chunk, file: BufferedReader) -> None:
        if chunk.n_bytes < _FORMAT.size:
            raise ValueError(f"too short; expected {_FORMAT.size} bytes")
        coding, channels, rate_hz, _, _, bits = _FORMAT.unpack(file.read(_FORMAT.size))
        if (coding, channels, bits) != (1, 2, 16) or not rate_hz:
            raise ValueError(
                f"coding {coding}, {channels} channels, {bits} bit, {rate_hz} Hz; "
                "expected PCM (1), 2 channels (I, Q), 16 bit"
            )
        self.nominal_rate_hz = float(rate_hz)

    def _take_stamp(self, chunk: _Chunk, file: BufferedReader) -> None:
        if chunk.n_bytes != _STAMP.size:
            raise ValueError(f"expected {_STAMP.size} bytes")
        if len(self.stamps_ns) > len(self.offset_bytes):
            raise ValueError("follows a stamp; expected 'data'")
        if chunk.is_cut:
            return
        age_s, _, second, ns = _STAMP.unpack(file.read(_STAMP.size))
        self.stamps_ns.append(stamp_ns(age_s, second, ns))

    def _take_samples(self, chunk: _Chunk) -> None:
        if not self.nominal_rate_hz:
            raise ValueError("samples of unknown format; expected 'fmt ' before")
        if len(self.stamps_ns) == len(self.offset_bytes):
            raise ValueError("samples without a stamp; expected 'kiwi' before (an ordinary wav?)")
        expected = self.block_bytes or chunk.n_bytes
        if (
            chunk.n_bytes != expected
            or not 0 < expected <= _MAX_BLOCK_BYTES
            or expected % SAMPLE_BYTES
        ):
            raise ValueError(f"expected {self.block_bytes or 'some 2048'} bytes, a multiple of 4")
        self.block_bytes = expected
        if not chunk.is_cut:
            self.offset_bytes.append(chunk.at_bytes)


def read_layout(path: Path) -> tuple[Layout, int]:
    """Walk a file; gives also how many bytes at its end belong to no whole block.

    The stale first blocks are left out. Raises SourceDataError where it is no such file.
    """
    with opened(path) as file:
        n_bytes = file.seek(0, SEEK_END)
        file.seek(0)
        riff = file.read(_RIFF.size)
        if len(riff) < _RIFF.size or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            raise SourceDataError(f"{path}: begins with {riff!r}; expected RIFF … WAVE")
        layout = Layout(end_bytes=_RIFF.size)
        # The length in the RIFF header is not asked: a recorder that was killed leaves it wrong.
        for chunk in _chunks(file, n_bytes):
            try:
                layout.take(chunk, file)
            except ValueError as error:
                raise SourceDataError(
                    f"{path}: chunk {chunk.name!r} of {chunk.n_bytes} bytes at byte "
                    f"{chunk.at_bytes}: {error}"
                ) from error
    n_blocks = len(layout.offset_bytes)
    if n_blocks < STALE_STAMPS + MIN_STAMPS:
        raise SourceDataError(
            f"{path}: {n_blocks} blocks; expected {STALE_STAMPS + MIN_STAMPS} or more"
        )
    del layout.stamps_ns[n_blocks:]  # of a block that was cut off
    del layout.stamps_ns[:STALE_STAMPS], layout.offset_bytes[:STALE_STAMPS]
    return layout, n_bytes - layout.end_bytes
