"""A receiver that does not exist, in a physical network that does not either.

::

    Transmitter ─Schedule, Modulation─┐
    Track, Shadowing ─▶ Path ─────────┴─▶ Reception ─┐
                                      Radio: noise ──┴─▶ planes ─Radio.digitise─▶ IQBlock

Samples are made in chunks on a fixed grid, and blocks are cut from them: the same samples for the
same seed, whatever the block size, the pace, or what was asked for before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.config_simulation import SimulatedReceiver, Simulation
from heimdall_edge.errors import SourceError
from heimdall_edge.geodesy import LocalFrame, mean_place
from heimdall_edge.sources.propagation import Path, Shadowing, Track
from heimdall_edge.sources.radio import Radio
from heimdall_edge.sources.reception import Reception
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.sources.waveforms import modulation_of
from heimdall_edge.types import NS_PER_S, ClockSource, ClockState, IQBlock, Place, frozen_array

CHUNK_SAMPLES = 65_536
BACKLOG_S = 2.0
"""What a radio's driver keeps for a consumer that is late; what is older is lost."""
SETTLING_S = 0.05
"""After tuning, the synthesiser needs so long; what it samples meanwhile is thrown away."""


class SimulatedSource:
    """An :class:`~heimdall_edge.sources.base.IQSource`, and ``Tunable``.

    Parameters
    ----------
    receiver
        Of kind ``simulated``.
    place
        Where its antenna stands.
    simulation
        The network: the same for all receivers.
    start_utc_ns
        When the simulation began: the same for all receivers. With pace ``real_time`` a source
        that is opened later begins with what is on the air then; with ``fast``, at the start.
    truth
        The network's truth file, if it is wanted; all receivers share one.
    utc_ns, monotonic_ns
        The clocks that pace ``real_time``.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        place: Place,
        simulation: Simulation,
        start_utc_ns: int,
        truth: TruthLog | None = None,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if receiver.center_freq_hz is None or receiver.sample_rate_hz is None:
            raise ValueError(f"{receiver.id}: a simulated receiver needs a frequency and a rate")
        self._receiver_id, self._gain_db = receiver.id, receiver.gain_db or 0.0
        self._place, self._simulation = place, simulation
        self._center_freq_hz = receiver.center_freq_hz
        self._sample_rate_hz = receiver.sample_rate_hz
        self._settings = receiver.simulated or SimulatedReceiver()
        source = receiver.clock.clock_source
        self._clock = ClockState(
            source, sigma_s=receiver.clock.sigma_s, locked=source is not ClockSource.NONE
        )
        self._radio, self._receptions = self._tuned_to(receiver.center_freq_hz)
        self._end = math.inf  # number of the sample after the last
        if simulation.duration_s is not None:
            self._end = math.floor(simulation.duration_s * self._radio.sample_rate_hz)
        self._start_utc_ns = start_utc_ns
        self._truth = truth
        self._utc_ns, self._monotonic_ns = utc_ns, monotonic_ns
        self._began_monotonic_ns: int | None = None
        self._first = 0  # number, since the simulation's start, of the sample that opened with
        self._chunk_number = -1
        self._chunk = np.empty(0, np.uint8)
        self._given = 0
        self._settling = 0  # samples that are thrown away before the next block
        self._closed = threading.Event()

    @property
    def may_wait(self) -> bool:
        return self._settings.pace == "fast"

    @property
    def progress(self) -> float:
        return 0.0 if math.isinf(self._end) else min(1.0, self._given / max(1, self._end))

    @property
    def device(self) -> str | None:
        return None

    def open(self) -> None:
        if self._closed.is_set():
            raise SourceError(f"{self._receiver_id}: simulated receiver was closed")
        if self._truth:
            self._truth.open()
        elapsed_ns = max(0, self._utc_ns() - self._start_utc_ns)
        self._began_monotonic_ns = self._monotonic_ns() - elapsed_ns
        self._first = 0 if self.may_wait else self._samples_in(elapsed_ns / NS_PER_S)

    def tune(self, center_freq_hz: float) -> None:
        """Hear another part of the network; its air went on meanwhile."""
        if self._began_monotonic_ns is None:
            raise SourceError(f"{self._receiver_id}: simulated receiver is not open")
        if center_freq_hz == self._center_freq_hz:
            return
        self._center_freq_hz = center_freq_hz
        self._radio, self._receptions = self._tuned_to(center_freq_hz)
        self._chunk_number = -1
        self._settling = self._samples_in(SETTLING_S)

    def blocks(self) -> Iterator[IQBlock]:
        if self._began_monotonic_ns is None:
            raise SourceError(f"{self._receiver_id}: simulated receiver is not open")
        number, lost, discarded = self._first, 0, 0
        while not self._closed.is_set():
            settling, self._settling = self._settling, 0
            number, discarded = number + settling, discarded + settling
            n_samples = int(min(self._settings.block_samples, self._end - number))
            if n_samples <= 0:
                return
            late_s = self._wait_for(number + n_samples)
            if late_s > BACKLOG_S:
                skipped = self._samples_in(late_s)
                number, lost = number + skipped, lost + skipped
                continue
            samples = self._samples(number, n_samples)
            if self._closed.is_set():
                return
            if self._truth:
                self._truth.advance((number + n_samples) / self._radio.sample_rate_hz)
            yield self._block(samples, number, lost, discarded)
            self._given = number + n_samples
            number, lost, discarded = number + n_samples, 0, 0

    def close(self) -> None:
        self._closed.set()

    def _tuned_to(self, center_freq_hz: float) -> tuple[Radio, list[Reception]]:
        """The radio on one centre, and what of the network reaches it there."""
        radio = Radio(
            settings=self._settings,
            receiver_id=self._receiver_id,
            seed=self._simulation.seed,
            center_freq_hz=center_freq_hz,
            sample_rate_hz=self._sample_rate_hz,
            gain_db=self._gain_db,
            clock=self._clock,
        )
        return radio, _receptions(self._simulation, self._place, radio)

    def _samples_in(self, duration_s: float) -> int:
        return math.ceil(duration_s * self._radio.sample_rate_hz)

    def _wait_for(self, number: int) -> float:
        """Wait until a radio would have taken a sample; how long ago that is, seconds."""
        if self.may_wait or self._began_monotonic_ns is None:
            return 0.0
        due_ns = self._began_monotonic_ns + self._utc_offset_ns(number)
        while (left_ns := due_ns - self._monotonic_ns()) > 0:
            if self._closed.wait(left_ns / NS_PER_S):
                return 0.0
        return -left_ns / NS_PER_S

    def _utc_offset_ns(self, number: int) -> int:
        """When a sample is at the antenna, in truth; nanoseconds since the simulation's start."""
        return round(number * NS_PER_S / self._radio.sample_rate_hz)

    def _block(self, samples: NDArray[np.uint8], number: int, lost: int, discarded: int) -> IQBlock:
        stamp_ns = self._utc_offset_ns(number) + self._radio.clock_error_ns
        return IQBlock(
            samples=frozen_array(samples),
            datatype="cu8",
            sample_rate_hz=self._sample_rate_hz,
            center_freq_hz=self._center_freq_hz,
            sample_start=number - self._first,
            start_utc_ns=self._start_utc_ns + stamp_ns,
            lost_samples=lost,
            discarded_samples=discarded,
            clock=self._clock,
        )

    def _samples(self, number: int, n_samples: int) -> NDArray[np.uint8]:
        """uint8 [2 n_samples] from a numbered sample on; unfinished if it was closed meanwhile."""
        samples = np.empty(2 * n_samples, np.uint8)
        done = 0
        while done < n_samples and not self._closed.is_set():
            chunk_number, offset = divmod(number + done, CHUNK_SAMPLES)
            n_here = min(CHUNK_SAMPLES - offset, n_samples - done)
            chunk = self._chunk_of(chunk_number)
            samples[2 * done : 2 * (done + n_here)] = chunk[2 * offset : 2 * (offset + n_here)]
            done += n_here
        return samples

    def _chunk_of(self, chunk_number: int) -> NDArray[np.uint8]:
        """uint8 [2 * CHUNK_SAMPLES]; the latest one is kept."""
        if chunk_number != self._chunk_number:
            planes = self._radio.noise(chunk_number, CHUNK_SAMPLES)
            for reception in self._receptions:
                reception.add_to(planes, first_sample=chunk_number * CHUNK_SAMPLES)
            self._chunk = self._radio.digitise(planes)
            self._chunk_number = chunk_number
        return self._chunk


def _receptions(simulation: Simulation, place: Place, radio: Radio) -> list[Reception]:
    """What of the network reaches one receiver."""
    tracks = [Track.of(transmitter) for transmitter in simulation.transmitters]
    if not tracks:
        return []
    air = simulation.propagation
    shadowing = Shadowing(
        seed=simulation.seed,
        correlation_m=air.shadowing_correlation_m,
        frame=LocalFrame(mean_place(Place(*track.place_at(0.0)) for track in tracks)),
    )
    receptions = [
        Reception(
            transmitter=transmitter,
            modulation=modulation_of(transmitter, seed=simulation.seed),
            path=Path(
                transmitter=transmitter,
                track=track,
                receiver=place,
                propagation=air,
                shadowing=shadowing,
            ),
            radio=radio,
        )
        for transmitter, track in zip(simulation.transmitters, tracks, strict=True)
    ]
    return [reception for reception in receptions if reception.is_in_band]
