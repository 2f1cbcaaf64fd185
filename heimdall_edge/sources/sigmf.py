"""Reads SigMF recordings (specification 1.2.5): ``NAME.sigmf-meta`` beside ``NAME.sigmf-data``.

::

    .sigmf-meta ─▶ Metadata ─▶ layout ────────────────▶ timeline ───────────────▶ SampleFile
    .sigmf-data ── its length ─▶ where each capture lies    when it was, what was lost before

A value of a capture holds for that capture only: none is inherited from the one before. One key is
our own: ``heimdall:gain_db`` (of a capture, else of ``global``), the gain in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.raw import (
    SampleFile,
    Segment,
    duration_ns,
    sample_bytes,
    size_and_time,
)
from heimdall_edge.sources.sigmf_metadata import (
    Capture,
    Geolocation,
    Metadata,
    read_metadata,
)
from heimdall_edge.timestamps import utc_ns
from heimdall_edge.types import NS_PER_S, Place

META, DATA, ARCHIVE = ".sigmf-meta", ".sigmf-data", ".sigmf"
MAX_LOST_S = 366 * 86_400.0
"""A longer gap is no gap, but a wrong number."""
JITTER_S = 0.01
"""A host's time stamp may be off by this much …"""
DRIFT = 2e-4
"""… and the true sample rate by this part of the nominal one."""
HASH_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where the samples of a capture lie in the file."""

    key: str
    """The capture's place in the metadata, for messages."""
    capture: Capture
    offset_bytes: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a capture was taken."""

    stream_index: int
    """Of its first sample, counted by the recorder (``core:global_index``)."""
    sample_start: int
    """Of its first sample, counted from the file's first one; lost ones count too."""
    start_utc_ns: int
    lost_samples: int = 0


def read_sigmf(
    path: Path,
    *,
    sample_rate_hz: float | None = None,
    center_freq_hz: float | None = None,
    start_utc_ns: int | None = None,
    antenna_height_m: float = 0.0,
    proceed: Callable[[], bool] = lambda: True,
) -> SampleFile:
    """Read a recording's metadata, and check it against the data.

    Where ``core:sha512`` is given, all of the data is read once for it: seconds a gigabyte.

    Parameters
    ----------
    path : Path
        The ``.sigmf-meta`` or the ``.sigmf-data`` file.
    sample_rate_hz, center_freq_hz : float, optional
        Taken where the recording gives none.
    start_utc_ns : int, optional
        Taken where its first capture gives none; without it, the data's modification time.
    antenna_height_m : float
        Above the ground, of the places that the recording gives.
    proceed : callable
        Asked now and then while the hash is computed; False leaves it unchecked.

    Raises
    ------
    SourceError
        A file cannot be read now.
    SourceDataError
        The recording is malformed, or its parts contradict each other.
    """
    if path.suffix.lower() == ARCHIVE:
        raise SourceDataError(f"{path}: an archive; expected a {META} file: unpack it with tar")
    meta_path = path.with_suffix(META) if path.suffix.lower() == DATA else path
    metadata = read_metadata(meta_path)
    whole = metadata.whole
    data_path = meta_path.with_name(whole.dataset or meta_path.with_suffix(DATA).name)
    n_bytes, modified_utc_ns = size_and_time(data_path)
    start_utc_ns = modified_utc_ns if start_utc_ns is None else start_utc_ns
    try:
        rate_hz = _given(whole.sample_rate, sample_rate_hz, "global.core:sample_rate")
        extents, truncated_bytes = _layout(metadata, n_bytes)
        moments = _timeline(extents, rate_hz, start_utc_ns)
        segments = tuple(
            Segment(
                offset_bytes=extent.offset_bytes,
                n_samples=extent.n_samples,
                sample_start=moment.sample_start,
                start_utc_ns=moment.start_utc_ns,
                center_freq_hz=_given(
                    extent.capture.frequency, center_freq_hz, f"{extent.key}.core:frequency"
                ),
                lost_samples=moment.lost_samples,
                place=_place(extent.capture.geolocation or whole.geolocation, antenna_height_m),
                gain_db=_first(extent.capture.gain_db, whole.gain_db),
            )
            for extent, moment in zip(extents, moments, strict=True)
        )
    except ValueError as error:
        raise SourceDataError(f"{meta_path}: {error}") from error
    if whole.sha512:
        _check_sha512(data_path, whole.sha512.lower(), proceed)
    return SampleFile(data_path, whole.datatype, rate_hz, segments, truncated_bytes)


def _first(value: float | None, fallback: float | None) -> float | None:
    return fallback if value is None else value


def _given(value: float | None, fallback: float | None, key: str) -> float:
    found = _first(value, fallback)
    if found is None:
        raise ValueError(f"{key}: missing; expected it there, or in the receiver's configuration")
    return found


def _place(point: Geolocation | None, antenna_height_m: float) -> Place | None:
    """The height above the ellipsoid is taken for that above sea level: at most 0.1 km off."""
    if point is None:
        return None
    longitude_deg, latitude_deg, altitude_m = [*point.coordinates, 0.0][:3]
    return Place(latitude_deg, longitude_deg, altitude_m, antenna_height_m)


def _layout(metadata: Metadata, n_bytes: int) -> tuple[list[_Extent], int]:
    """Where the captures that have samples lie, and how many bytes are left over at the end."""
    whole = metadata.whole
    captures = metadata.captures or (Capture.model_validate({"core:sample_start": whole.offset}),)
    starts = [capture.sample_start for capture in captures]
    _check_order(starts, whole.offset)
    size = sample_bytes(whole.datatype)
    end_bytes = n_bytes - whole.trailing_bytes
    extents = []
    position = left_over = 0
    for i, capture in enumerate(captures):
        key = f"captures[{i}]"
        position += capture.header_bytes
        if position > end_bytes:
            raise ValueError(
                f"{key}.core:sample_start = {starts[i]}: begins at byte {position}, but the "
                f"samples end at byte {end_bytes}; expected longer data (cut short?)"
            )
        if i + 1 < len(captures):
            n_samples = starts[i + 1] - starts[i]
        else:
            n_samples, left_over = divmod(end_bytes - position, size)
        if n_samples:
            extents.append(_Extent(key, capture, position, n_samples))
        position += n_samples * size
    if not extents:
        raise ValueError(f"the data's {n_bytes} bytes hold no sample; expected at least one")
    return extents, left_over


def _check_order(starts: Sequence[int], offset: int) -> None:
    """Every sample lies in one capture: the first begins with the data, the others follow."""
    if starts[0] != offset:
        raise ValueError(
            f"captures[0].core:sample_start = {starts[0]}: expected {offset}, the data's first "
            "sample (core:offset)"
        )
    for i, (before, start) in enumerate(pairwise(starts), start=1):
        if start < before:
            raise ValueError(
                f"captures[{i}].core:sample_start = {start}: expected {before} or more, for "
                "captures are sorted by it"
            )


def _timeline(
    extents: Sequence[_Extent], sample_rate_hz: float, start_utc_ns: int
) -> Iterator[_Moment]:
    """When each capture was taken, and how many samples are lost before it.

    A capture without a time follows the one before by the recorder's count of samples. One whose
    time is later than that count says is after a gap too, of as many samples.
    """
    first = extents[0].capture
    moment = _Moment(
        stream_index=first.sample_start if first.global_index is None else first.global_index,
        sample_start=0,
        start_utc_ns=start_utc_ns if first.datetime is None else utc_ns(first.datetime),
    )
    yield moment
    for before, extent in pairwise(extents):
        moment = _next_moment(moment, before.n_samples, extent, sample_rate_hz)
        yield moment


def _next_moment(
    before: _Moment, n_samples: int, extent: _Extent, sample_rate_hz: float
) -> _Moment:
    """When a capture was taken, by the one before and its ``n_samples``."""
    capture, key = extent.capture, extent.key
    touching = before.stream_index + n_samples
    stream_index = touching if capture.global_index is None else capture.global_index
    if stream_index < touching:
        raise ValueError(
            f"{key}.core:global_index = {stream_index}: expected {touching} or more, for so many "
            "samples come before it"
        )
    counted_ns = duration_ns(stream_index - before.stream_index, sample_rate_hz)
    start_utc_ns = before.start_utc_ns + counted_ns
    lost = stream_index - touching
    if capture.datetime is not None:
        late_ns = utc_ns(capture.datetime) - start_utc_ns
        tolerance_ns = JITTER_S * NS_PER_S + DRIFT * counted_ns
        if late_ns < -tolerance_ns:
            raise ValueError(
                f"{key}.core:datetime = {capture.datetime!r}: {-late_ns / NS_PER_S:.6g} s before "
                f"its own sample count; expected at most {tolerance_ns / NS_PER_S:.3g} s"
            )
        if late_ns > tolerance_ns:
            lost += round(late_ns * sample_rate_hz / NS_PER_S)
        earliest_utc_ns = before.start_utc_ns + duration_ns(n_samples, sample_rate_hz)
        start_utc_ns = max(start_utc_ns + late_ns, earliest_utc_ns)
    if lost > MAX_LOST_S * sample_rate_hz:
        raise ValueError(
            f"{key}: begins {lost / sample_rate_hz:.3g} s after the end of the capture before; "
            f"expected at most {MAX_LOST_S:.3g} s"
        )
    return _Moment(stream_index, before.sample_start + n_samples + lost, start_utc_ns, lost)


def _check_sha512(path: Path, expected: str, proceed: Callable[[], bool]) -> None:
    digest = hashlib.sha512()
    try:
        with path.open("rb") as stream:
            while proceed() and (chunk := stream.read(HASH_CHUNK_BYTES)):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    if proceed() and digest.hexdigest() != expected:
        raise SourceDataError(
            f"{path}: SHA-512 {digest.hexdigest()[:16]}…; expected core:sha512 = {expected[:16]}… "
            "(changed, or cut short?)"
        )
