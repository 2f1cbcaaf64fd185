"""START HERE: how an IQ block becomes a published fix, from top to bottom.

::

    receiver thread      worker thread (one a receiver)                     locator thread
    Source ─IQBlock─▶ Fifo ─▶ FrontEnd ─▶ Detector ─▶ measure ─Observation─▶┐
    observations of other stations ──────────────────────────Observation──▶├▶ Associator ─Scene─▶
                                                                                             │
    broker ◀── publisher thread ◀── Outbox ◀─────── Fix ◀── Locator ◀── arrival times ◀──────┘

Threads hand values over through bounded queues; each value is frozen. A radio never waits: what
its worker does not keep up with is dropped, counted, and said on the observation it hit. A file
waits. A reload builds new chains and a new locator, and puts them in between two blocks.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from heimdall_edge import journal
from heimdall_edge.assembly import (
    associator_of,
    locator_of,
    receiver_info,
    surroundings_of,
    wants_mel,
    work_of,
)
from heimdall_edge.config import Config
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.evidence.recorder import Recorder
from heimdall_edge.evidence.tape import Tape
from heimdall_edge.feed import Feed
from heimdall_edge.locate.model import LocatorModel
from heimdall_edge.locating import FeedTime, LocatorThread
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.base import Publisher
from heimdall_edge.receiving import ReceiverThreads
from heimdall_edge.signal.calibration import Calibrator
from heimdall_edge.sources import SharedByReceivers, source_of
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.sources.soapy import SoapyDevices
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import (
    ReceiverState,
    ReceiverStatus,
)

log = journal.logger("pipeline")

ON_THIS_HOST = {"rtlsdr", "soapy"}
LOCAL_PAUSE_S, REMOTE_PAUSE_S = 10.0, 60.0
"""The longest pause before a receiver is tried again: looking for a dongle costs nothing."""
LOCKSTEP_S = 10.0
"""How far a file may run ahead of the slowest one."""


class Pipeline:
    """All receivers of a station, and what becomes of what they hear.

    Parameters
    ----------
    config
        What to listen to, with what.
    model
        The model in force; :meth:`swap` exchanges it.
    reference
        The built-in model, which answers where the other one fails.
    publisher
        Where fixes go; started and stopped by whoever made it.
    metrics
        Counts what passes.
    start_utc_ns
        The common start of simulated receivers.
    host
        The host's clocks.
    servers
        Remembers which volunteers' servers are in use, and when they may be asked again.
    """

    def __init__(
        self,
        *,
        config: Config,
        model: LocatorModel,
        reference: LocatorModel,
        publisher: Publisher,
        metrics: Metrics,
        start_utc_ns: int | None = None,
        host: HostTime | None = None,
        servers: PublicServers | None = None,
    ) -> None:
        self._config, self._model, self._reference = config, model, reference
        self._publisher = publisher
        self._metrics = metrics
        self._start_utc_ns = time.time_ns() if start_utc_ns is None else start_utc_ns
        self._shared = SharedByReceivers(
            host=host or SystemTime(),
            servers=servers or PublicServers(),
            soapy=SoapyDevices(receiver for receiver in config.receivers if receiver.enabled),
        )
        self._truth = TruthLog(simulation=config.simulation, start_utc_ns=self._start_utc_ns)
        self.recorder: Recorder | None = None
        if config.capture.enabled:
            folder = config.state_dir / config.capture.path
            self.recorder = Recorder(config.capture, folder)
        self._tapes: dict[str, Tape] = {}
        feeds = [self._feed(receiver) for receiver in config.receivers if receiver.enabled]
        self.locating = LocatorThread(
            station=config.station.name,
            associator=associator_of(config),
            locator=locator_of(config, model, fallback=reference),
            publisher=publisher,
            metrics=metrics,
            feeds=[FeedTime(f.receiver_id, not f.may_wait) for f in feeds],
        )
        lockstep = Lockstep(horizon_s=LOCKSTEP_S)
        self.receivers = [
            ReceiverThreads(
                feed,
                deliver=self.locating.inbox.put,
                on_state=publisher.publish_receiver,
                lockstep=lockstep,
                metrics=metrics,
            )
            for feed in feeds
        ]

    def start(self) -> None:
        """Start the threads, consumers first."""
        for receiver in self._config.receivers:
            if not receiver.enabled:
                self._publisher.publish_receiver(
                    ReceiverStatus(
                        receiver.id,
                        ReceiverState.DISABLED,
                        time.time_ns(),
                        reason="disabled by the configuration",
                    )
                )
        self.locating.thread.start()
        if self.recorder:
            self.recorder.start()
        for threads in self.receivers:
            threads.start()

    def swap(self, config: Config, model: LocatorModel) -> None:
        """Go on with other channels, thresholds and model from the next block and scene on.

        All is built and checked first. A receiver whose channels and spectrogram stay as they
        are keeps its chain, and with it what it knows of the noise.

        Raises
        ------
        SourceDataError
            A channel lies outside the band of a running receiver; nothing was changed.
        """
        by_id = {receiver.id: receiver for receiver in config.receivers}
        locator = locator_of(config, model, fallback=self._reference)
        works = [
            (threads, threads.prepare(work_of(config, by_id[threads.receiver_id], model)))
            for threads in self.receivers
            if by_id[threads.receiver_id].gives_iq
            and self._differs(config, by_id[threads.receiver_id], model)
        ]
        for threads, work in works:
            threads.switch_to(work)
        for receiver_id, tape in self._tapes.items():
            tape.follow(config.channels_of(by_id[receiver_id]))
        self.locating.swap(locator)
        self._config, self._model = config, model

    def _differs(self, config: Config, receiver: Receiver, model: LocatorModel) -> bool:
        """Whether a receiver needs another chain."""
        return (
            config.channels_of(receiver) != self._config.channels_of(receiver)
            or model.manifest.mel != self._model.manifest.mel
            or wants_mel(config, model) != wants_mel(self._config, self._model)
        )

    def stop(self, deadline_monotonic_s: float) -> list[str]:
        """Close the receivers, drain what they said, locate the rest; in the order of the flow.

        Returns
        -------
        Names of the threads that outlived the deadline.
        """
        for receiver in self.receivers:
            receiver.close()
        for receiver in self.receivers:
            _join(receiver.threads, deadline_monotonic_s)
        self.locating.inbox.close()
        threads = [t for r in self.receivers for t in r.threads] + [self.locating.thread]
        if self.recorder:
            self.recorder.close(deadline_monotonic_s)
            threads.append(self.recorder.thread)
        _join(threads, deadline_monotonic_s)
        self._count_evidence()
        self._truth.close()
        return [thread.name for thread in threads if thread.is_alive()]

    @property
    def has_ended(self) -> bool:
        """Whether every receiver came to its end, and said all that it had to say."""
        return all(not t.is_alive() for receiver in self.receivers for t in receiver.threads)

    def statuses(self) -> list[ReceiverStatus]:
        return [receiver.status() for receiver in self.receivers]

    def look(self) -> None:
        """Notice receivers that fell silent; call it a few times a second."""
        for receiver in self.receivers:
            receiver.look()
        self._count_evidence()

    def _count_evidence(self) -> None:
        if self.recorder is None:
            return
        self._metrics.follow(self._metrics.evidence, self.recorder.counts)
        self._metrics.follow(self._metrics.evidence_deleted, self.recorder.deleted)
        self._metrics.evidence_queued.set(self.recorder.queued_bytes)
        self._metrics.evidence_bytes.set(self.recorder.used_bytes)

    def stuck(self, *, limit_s: float) -> list[str]:
        """Which parts do not go on, though they should: what keeps a watchdog unfed."""
        now_s = time.monotonic()
        parts = [f"receiver {r.receiver_id}" for r in self.receivers if r.is_stuck(limit_s=limit_s)]
        if now_s - self.locating.progress_monotonic_s > limit_s:
            parts.append("locator")
        if now_s - self._publisher.progress_monotonic_s > limit_s:
            parts.append("publisher")
        return parts

    def _feed(self, receiver: Receiver) -> Feed:
        around = surroundings_of(
            self._config,
            receiver,
            start_utc_ns=self._start_utc_ns,
            truth=self._truth,
            on_refused=partial(self._line_refused, receiver.id),
            shared=self._shared,
        )
        build = partial(work_of, self._config, receiver, self._model)
        return Feed(
            receiver_id=receiver.id,
            make_source=partial(source_of, receiver, around),
            may_wait=not receiver.follows_clock,
            calibrate=Calibrator(
                receiver.calibration, gain_db=receiver.gain_db, is_automatic=receiver.agc
            ).applied,
            build_work=build if receiver.gives_iq else None,
            longest_pause_s=LOCAL_PAUSE_S if receiver.kind in ON_THIS_HOST else REMOTE_PAUSE_S,
            tape=self._tape(receiver),
        )

    def _tape(self, receiver: Receiver) -> Tape | None:
        if self.recorder is None or not receiver.gives_iq:
            return None
        channels = self._config.channels_of(receiver)
        tape = self.recorder.tape(receiver_info(self._config, receiver), channels)
        if tape:
            self._tapes[receiver.id] = tape
        return tape

    def _line_refused(self, receiver_id: str, line_number: int, error: Exception) -> None:
        self._metrics.observations_refused.labels("malformed").inc()
        log.warning("line_refused", receiver=receiver_id, line=line_number, reason=str(error))


def _join(threads: list[threading.Thread], deadline_monotonic_s: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline_monotonic_s - time.monotonic()))
