"""The parts that a configuration asks for, built: signal chains, associator, locator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from heimdall_edge import journal
from heimdall_edge.config import Channel, Config
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import PayloadError
from heimdall_edge.feed import Work
from heimdall_edge.locate.associate import Associator
from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.locator import Locator
from heimdall_edge.locate.model import LocatorModel
from heimdall_edge.publish.wire_observation import parse_observation
from heimdall_edge.shedding import Shedding
from heimdall_edge.signal.arrival import arrival_times
from heimdall_edge.signal.chain import Chain, SignalChain
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.signal.scan_chain import ScanChain
from heimdall_edge.sources import SharedByReceivers, Surroundings
from heimdall_edge.sources.truth import TruthLog
from heimdall_edge.types import ArrivalTime, Place, ReceiverInfo, Scene

log = journal.logger("pipeline")

DEFAULT_SYSTEMATIC_SIGMA_US = Channel.model_fields["tdoa_systematic_sigma_us"].default
"""For a channel that only other stations listen to."""


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


def surroundings_of(
    config: Config,
    receiver: Receiver,
    *,
    start_utc_ns: int,
    truth: TruthLog,
    on_refused: Callable[[int, PayloadError], object],
    shared: SharedByReceivers | None = None,
) -> Surroundings:
    """What a receiver's source may need beside its own configuration."""
    return Surroundings(
        info=receiver_info(config, receiver),
        channels=config.channels_of(receiver),
        simulation=config.simulation,
        start_utc_ns=start_utc_ns,
        truth=truth,
        parse=parse_observation,
        on_refused=on_refused,
        shared=shared or SharedByReceivers(),
    )


def wants_mel(config: Config, model: LocatorModel) -> bool:
    """Whether anybody looks at the spectrograms: the model, or who reads the observations."""
    return "mel" in model.input_names or config.mqtt.include_mel


def work_of(config: Config, receiver: Receiver, model: LocatorModel) -> Work:
    """What a receiver's worker does, and what it gives up first when it cannot keep pace."""
    has_mel = wants_mel(config, model)
    shedding = Shedding(config.channels_of(receiver), has_mel=has_mel)
    return Work(chain_of(config, receiver, model), shedding)


def chain_of(config: Config, receiver: Receiver, model: LocatorModel) -> Chain:
    """The signal path of one receiver, with the spectrogram that the model wants."""
    mel = model.manifest.mel if wants_mel(config, model) else None
    make: Callable[..., Chain] = SignalChain
    if receiver.scan is not None:
        make = partial(ScanChain, centers_hz=receiver.scan.centers_hz)
    return make(
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
