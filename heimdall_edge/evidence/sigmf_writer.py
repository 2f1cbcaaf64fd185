"""Writes a clip as a SigMF recording (specification 1.2.5): data first, metadata last.

::

    NAME.sigmf-data.tmp ─fsync, rename─▶ NAME.sigmf-data
                  NAME.sigmf-meta.tmp ─fsync, rename─▶ NAME.sigmf-meta ─▶ fsync of the folder

A recording whose metadata is there is whole, whatever was unplugged when. A new capture begins at
each gap, and wherever centre, gain or place change; keys of our own have the prefix ``heimdall:``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from heimdall_edge import __version__
from heimdall_edge.evidence.clip import Clip, Piece, pieces_of
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import NS_PER_S, ClockState, Observation, Place

META, DATA, UNFINISHED = ".sigmf-meta", ".sigmf-data", ".tmp"
GENERATOR = f"heimdall-edge {__version__}"
EXTENSION_VERSION = "1.0.0"
MAX_LABEL = 20
JITTER_NS = 5_000_000
"""Stamps may be early by so much against the count; readers take them for what they are."""
MAX_CAPTURES = 65_536
"""What our own reader takes; beyond it a gap is no longer told."""


class EmptyClipError(Exception):
    """The clip's blocks gave no sample, as where they are shorter than the channel's filter."""


def write_clip(clip: Clip, folder: Path, name: str) -> int:
    """Write a recording; its size in bytes.

    Parameters
    ----------
    name
        Of both files, without an ending.

    Raises
    ------
    OSError
        The disk does not take it; what was begun is gone again.
    EmptyClipError
        There is nothing to write.
    """
    data_path, meta_path = folder / f"{name}{DATA}", folder / f"{name}{META}"
    captures = _Captures()
    digest = hashlib.sha512()
    with _replacing(data_path) as stream:
        for piece in pieces_of(clip):
            captures.add(piece)
            digest.update(piece.samples.data)
            stream.write(piece.samples.data)
        if not captures.n_samples:
            raise EmptyClipError
        n_bytes = stream.tell()
    text = json.dumps(_metadata(clip, captures, digest.hexdigest()), indent=1)
    with _replacing(meta_path) as stream:
        stream.write(text.encode())
    _sync_folder(folder)
    return n_bytes + len(text)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name only when all of it is on disk."""
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Bring the names themselves to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Captures:
    """The segments of a recording, as its pieces come in."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.first: Piece | None = None
        self.entries: list[dict[str, Any]] = []
        self._starts: list[tuple[int, int]] = []
        """(sample number in the file, instant) of each."""
        self._last: Piece | None = None

    def add(self, piece: Piece) -> None:
        """Take note of the next piece: a segment of its own, where it does not follow."""
        self.first = self.first or piece
        if self._begins_with(piece) and len(self.entries) < MAX_CAPTURES:
            start_utc_ns = max(piece.start_utc_ns, self._earliest(piece))
            self.entries.append(_capture(piece, self.n_samples, start_utc_ns))
            self._starts.append((self.n_samples, start_utc_ns))
        self._last = piece
        self.n_samples += piece.n_samples

    def _earliest(self, piece: Piece) -> int:
        """When a piece can begin, by the count of samples: a clock may have been set back."""
        if self._last is None:
            return piece.start_utc_ns
        number, start_utc_ns = self._starts[-1]
        since = piece.stream_index - self._last.stream_index - self._last.n_samples
        since += self.n_samples - number
        return start_utc_ns + round(since * NS_PER_S / piece.sample_rate_hz) - JITTER_NS

    def _begins_with(self, piece: Piece) -> bool:
        last = self._last
        return last is None or not (
            piece.follows
            and piece.center_freq_hz == last.center_freq_hz
            and piece.gain_db == last.gain_db
            and piece.place == last.place
        )

    def number_at(self, utc_ns: int) -> int:
        """The number in the file of the sample of an instant, or the nearest that there is."""
        assert self.first is not None
        started = [s for s in self._starts if s[1] <= utc_ns] or self._starts[:1]
        number, start_utc_ns = started[-1]
        number += round((utc_ns - start_utc_ns) * self.first.sample_rate_hz / NS_PER_S)
        later = [s[0] for s in self._starts[len(started) :]] or [self.n_samples]
        return max(0, min(number, later[0]))


def _metadata(clip: Clip, captures: _Captures, sha512: str) -> dict[str, Any]:
    first = captures.first
    assert first is not None
    receiver = clip.receiver
    kept = f"channel {clip.channel.name}" if clip.channel else "whole band"
    return {
        "global": {
            "core:datatype": first.datatype,
            "core:version": "1.2.5",
            "core:sample_rate": first.sample_rate_hz,
            "core:sha512": sha512,
            "core:num_channels": 1,
            "core:recorder": GENERATOR,
            "core:description": f"{kept} as {receiver.receiver_id} of {receiver.station} heard it",
            "core:extensions": [
                {"name": "heimdall", "version": EXTENSION_VERSION, "optional": True}
            ],
            "heimdall:station": receiver.station,
            "heimdall:receiver": receiver.receiver_id,
            "heimdall:clock": _clock(first.clock),
        },
        "captures": captures.entries,
        "annotations": _annotations(clip, captures),
    }


def _capture(piece: Piece, sample_start: int, start_utc_ns: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "core:sample_start": sample_start,
        "core:global_index": piece.stream_index,
        "core:frequency": piece.center_freq_hz,
        "core:datetime": _instant(start_utc_ns),
        "core:geolocation": _geolocation(piece.place),
        "heimdall:gain_db": piece.gain_db,
        "heimdall:full_scale_dbm": piece.full_scale_dbm,
    }
    return _present(entry)


def _instant(utc_ns: int) -> str:
    """RFC 3339 to the nanosecond: a microsecond is 300 m of radio path."""
    return f"{rfc3339(utc_ns)[:-1]}{utc_ns % 1_000:03}Z"


def _geolocation(place: Place | None) -> dict[str, Any] | None:
    """Longitude first; the height of the ground above the sea stands for that of the ellipsoid."""
    if place is None or not math.isfinite(place.latitude_deg + place.longitude_deg):
        return None
    coordinates = [place.longitude_deg, place.latitude_deg, place.altitude_m]
    return {"type": "Point", "coordinates": coordinates}


def _clock(clock: ClockState) -> dict[str, Any]:
    return _present(
        {"source": clock.source.value, "sigma_s": clock.sigma_s, "locked": clock.locked}
    )


def _annotations(clip: Clip, captures: _Captures) -> list[dict[str, Any]]:
    widths_hz = {channel.name: channel.bandwidth_hz for channel in clip.channels}
    entries = []
    for observation in clip.observations:
        start = captures.number_at(observation.start_utc_ns)
        count = max(1, captures.number_at(observation.end_utc_ns) - start)
        start = min(start, captures.n_samples - 1)
        entries.append(
            {
                "core:sample_start": start,
                "core:sample_count": min(count, captures.n_samples - start),
                **_edges(observation, widths_hz[observation.channel]),
                **_said(observation),
            }
        )
    return sorted(entries, key=lambda entry: int(entry["core:sample_start"]))


def _edges(observation: Observation, channel_width_hz: float) -> dict[str, float]:
    """What it occupies, else its channel; RF hertz."""
    center_hz, half_hz = observation.frequency_hz, channel_width_hz / 2
    if observation.bandwidth_hz is not None:
        center_hz += observation.frequency_offset_hz or 0.0
        half_hz = observation.bandwidth_hz / 2
    return {
        "core:freq_lower_edge": center_hz - half_hz,
        "core:freq_upper_edge": center_hz + half_hz,
    }


def _said(observation: Observation) -> dict[str, Any]:
    """What was measured, in words and in numbers."""
    figures = [
        f"level {observation.level_dbfs:.1f} dBFS" if observation.level_dbfs is not None else "",
        f"SNR {observation.snr_db:.1f} dB" if observation.snr_db is not None else "",
        f"observation {observation.observation_id}",
    ]
    return _present(
        {
            "core:label": observation.channel[:MAX_LABEL],
            "core:comment": ", ".join(figure for figure in figures if figure),
            "core:generator": GENERATOR,
            "core:uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, observation.observation_id)),
            "heimdall:channel": observation.channel,
            "heimdall:observation_id": observation.observation_id,
            "heimdall:snr_db": observation.snr_db,
            "heimdall:level_dbfs": observation.level_dbfs,
            "heimdall:level_dbm": observation.level_dbm,
            "heimdall:noise_floor_dbfs": observation.noise_floor_dbfs,
        }
    )


def _present(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}
