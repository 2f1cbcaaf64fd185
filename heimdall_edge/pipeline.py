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

import math
import threading
import time
from functools import partial

from heimdall_edge import journal
from heimdall_edge.config import Channel, Config
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.locate.associate import Associator
from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.locator import Locator
from heimdall_edge.locate.model import LocatorModel
from heimdall_edge.locating import FeedTime, LocatorThread
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.base import Publisher
from heimdall_edge.publish.wire_observation import parse_observation
from heimdall_edge.receiving import Feed, ReceiverThreads
from heimdall_edge.signal.arrival import arrival_times
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.sources import Surroundings, source_of
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import (
    ArrivalTime,
    Place,
    ReceiverInfo,
    ReceiverState,
    ReceiverStatus,
    Scene,
)

log = journal.logger("pipeline")

LOCKSTEP_S = 10.0
"""How far a file may run ahead of the slowest one."""
DEFAULT_SYSTEMATIC_SIGMA_US = Channel.model_fields["tdoa_systematic_sigma_us"].default
"""For a channel that only other stations listen to."""


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
    ) -> None:
        self._config, self._model, self._reference = config, model, reference
        self._publisher = publisher
        self._metrics = metrics
        self._start_utc_ns = time.time_ns() if start_utc_ns is None else start_utc_ns
        self._truth = TruthLog(simulation=config.simulation, start_utc_ns=self._start_utc_ns)
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
        chains = [
            (threads, threads.prepare(chain_of(config, by_id[threads.receiver_id], model)))
            for threads in self.receivers
            if by_id[threads.receiver_id].gives_iq
            and self._differs(config, by_id[threads.receiver_id], model)
        ]
        for threads, chain in chains:
            threads.switch_to(chain)
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
        _join(threads, deadline_monotonic_s)
        self._truth.close()
        return [thread.name for thread in threads if thread.is_alive()]

    @property
    def has_ended(self) -> bool:
        """Whether every receiver came to its end, and said all that it had to say."""
        return all(not t.is_alive() for receiver in self.receivers for t in receiver.threads)

    def statuses(self) -> list[ReceiverStatus]:
        return [receiver.status() for receiver in self.receivers]

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
        around = Surroundings(
            info=receiver_info(self._config, receiver),
            channels=self._config.channels_of(receiver),
            simulation=self._config.simulation,
            start_utc_ns=self._start_utc_ns,
            truth=self._truth,
            parse=parse_observation,
            on_refused=partial(self._line_refused, receiver.id),
        )
        build = partial(chain_of, self._config, receiver, self._model)
        return Feed(
            receiver_id=receiver.id,
            make_source=partial(source_of, receiver, around),
            may_wait=not receiver.follows_clock,
            build_chain=build if receiver.gives_iq else None,
        )

    def _line_refused(self, receiver_id: str, line_number: int, error: Exception) -> None:
        self._metrics.observations_refused.labels("malformed").inc()
        log.warning("line_refused", receiver=receiver_id, line=line_number, reason=str(error))


def place_of(config: Config, receiver: Receiver) -> Place:
    """Where a receiver is: its own place, else the station's; NaN where neither says."""
    own = receiver.latitude_deg is not None
    latitude_deg = receiver.latitude_deg if own else config.station.latitude_deg
    longitude_deg = receiver.longitude_deg if own else config.station.longitude_deg
    altitude_m = receiver.altitude_m
    return Place(
        latitude_deg=math.nan if latitude_deg is None else latitude_deg,
        longitude_deg=math.nan if longitude_deg is None else longitude_deg,
        altitude_m=config.station.altitude_m if altitude_m is None else altitude_m,
        antenna_height_m=receiver.antenna_height_m,
    )


def receiver_info(config: Config, receiver: Receiver) -> ReceiverInfo:
    """What each observation of a receiver says of it."""
    return ReceiverInfo(
        station=config.station.name,
        receiver_id=receiver.id,
        place=place_of(config, receiver),
        level_offset_db=receiver.level_offset_db,
        level_offset_sd_db=receiver.level_offset_sd_db,
    )


def wants_mel(config: Config, model: LocatorModel) -> bool:
    """Whether anybody looks at the spectrograms: the model, or who reads the observations."""
    return "mel" in model.input_names or config.mqtt.include_mel


def chain_of(config: Config, receiver: Receiver, model: LocatorModel) -> SignalChain:
    """The signal path of one receiver, with the spectrogram that the model wants."""
    mel = model.manifest.mel if wants_mel(config, model) else None
    return SignalChain(
        receiver=receiver_info(config, receiver),
        channels=config.channels_of(receiver),
        gain_db=receiver.gain_db,
        has_level=not receiver.agc,
        mel_profile=None if mel is None else MelProfile.from_manifest(mel),
    )


def associator_of(config: Config) -> Associator:
    """What brings observations together; it lives as long as the pipeline.

    A file is waited for from the start; a radio only once it has said that it listens.
    """
    associator = Associator(
        wait_s=config.locator.wait_s,
        tolerance_s=config.locator.match_tolerance_s,
        max_span_m=config.locator.max_span_m,
    )
    for receiver in config.receivers:
        if receiver.enabled and receiver.gives_iq and not receiver.follows_clock:
            channels = [channel.name for channel in config.channels_of(receiver)]
            associator.expect((config.station.name, receiver.id), channels)
    return associator


def locator_of(config: Config, model: LocatorModel, *, fallback: LocatorModel) -> Locator:
    """The locator for one model; arrival times only where the configuration wants them."""
    sigmas_us = {c.name: c.tdoa_systematic_sigma_us for c in config.channels}

    def arrival(scene: Scene) -> tuple[ArrivalTime | None, ...]:
        sigma_us = sigmas_us.get(scene.channel, DEFAULT_SYSTEMATIC_SIGMA_US)
        return arrival_times(scene.observations, systematic_sigma_us=sigma_us)

    return Locator(
        station=config.station.name,
        model=model,
        inputs_of=partial(locator_inputs, mel_shape=model.mel_shape),
        arrival=arrival if config.locator.tdoa else None,
        min_receivers=config.locator.min_receivers,
        service_radius_m=config.locator.service_radius_m,
        systematic_sigma_m=config.locator.systematic_sigma_m,
        max_ood=config.locator.max_ood,
        monotonic=time.monotonic,
        fallback=None if fallback.identity == model.identity else fallback,
        on_problem=lambda error: log.warning("scene_problem", reason=str(error)),
    )


def _join(threads: list[threading.Thread], deadline_monotonic_s: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline_monotonic_s - time.monotonic()))
