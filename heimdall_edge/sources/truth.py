"""What the simulated transmitters really did, for evaluation; the pipeline never sees it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TextIO

from heimdall_edge.config_simulation import Simulation, Transmitter
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.propagation import Track
from heimdall_edge.sources.waveforms import Schedule
from heimdall_edge.types import NS_PER_S


@dataclass(frozen=True, slots=True)
class Transmission:
    """One time that a transmitter spoke; instants are at its own antenna."""

    transmitter: str
    number: int
    """0 for the transmitter's first."""
    frequency_hz: float
    power_dbm: float
    modulation: str
    start_utc_ns: int
    end_utc_ns: int | None
    """``None`` where it never ends."""
    latitude_deg: float
    """At its start, as the longitude."""
    longitude_deg: float
    mid_latitude_deg: float
    """Half-way through, as the longitude; at its start where it never ends."""
    mid_longitude_deg: float


def transmissions(
    simulation: Simulation, *, start_utc_ns: int, until_s: float, from_s: float = 0.0
) -> list[Transmission]:
    """The transmissions that begin at ``from_s`` or later and before ``until_s``, in time order.

    ``start_utc_ns`` is when the simulation began; ``from_s`` and ``until_s`` are seconds since.
    """
    found = [
        transmission
        for transmitter in simulation.transmitters
        for transmission in _of_one(transmitter, simulation, start_utc_ns, from_s, until_s)
    ]
    return sorted(found, key=lambda t: (t.start_utc_ns, t.transmitter))


def _of_one(
    transmitter: Transmitter,
    simulation: Simulation,
    start_utc_ns: int,
    from_s: float,
    until_s: float,
) -> Iterator[Transmission]:
    track = Track.of(transmitter)
    last_s = math.inf if simulation.duration_s is None else simulation.duration_s
    for number, start_s, scheduled_end_s in Schedule.of(transmitter).transmissions(from_s):
        if start_s >= min(until_s, last_s):
            return
        end_s = min(scheduled_end_s, last_s)
        if start_s >= from_s:
            endless = end_s == math.inf
            at_start = track.place_at(start_s)
            at_middle = at_start if endless else track.place_at((start_s + end_s) / 2)
            yield Transmission(
                transmitter.name,
                number,
                transmitter.frequency_hz,
                transmitter.power_dbm,
                transmitter.modulation,
                start_utc_ns + round(start_s * NS_PER_S),
                None if endless else start_utc_ns + round(end_s * NS_PER_S),
                *at_start,
                *at_middle,
            )
        if scheduled_end_s == math.inf:
            return


class TruthLog:
    """Writes ``simulation.truth_path``, if there is one: a JSON line a transmission as it begins.

    All receivers of a network share one log; whichever is first past a beginning writes the line.
    """

    def __init__(self, *, simulation: Simulation, start_utc_ns: int) -> None:
        self._path = simulation.truth_path
        self._simulation = simulation
        self._start_utc_ns = start_utc_ns
        self._lock = threading.Lock()  # guards the two below; each receiver has its thread
        self._file: TextIO | None = None
        self._written_until_s = 0.0

    def open(self) -> None:
        """Begin the file, if nobody has; SourceError where that cannot be."""
        with self._lock, self._named_errors():
            if self._file is None and self._path is not None:
                self._file = self._path.open("w", encoding="utf-8")

    def advance(self, until_s: float) -> None:
        """Write what began since the last call and before ``until_s`` (s since the start)."""
        with self._lock, self._named_errors():
            if self._file is None or self._file.closed or until_s <= self._written_until_s:
                return
            for transmission in transmissions(
                self._simulation,
                start_utc_ns=self._start_utc_ns,
                from_s=self._written_until_s,
                until_s=until_s,
            ):
                self._file.write(json.dumps(asdict(transmission)) + "\n")
            self._file.flush()
            self._written_until_s = until_s

    def close(self) -> None:
        """Close the file; idempotent. What begins later is not written."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SourceError(f"simulation.truth_path {self._path}: {error.strerror}") from error
