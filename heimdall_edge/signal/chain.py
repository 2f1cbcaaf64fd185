"""One receiver's whole signal path: block in, observations out.

::

    IQBlock ─▶ FrontEnd ─▶ Detectors (one a width and mode) ─▶ measure ─▶ Observation
                                   └──▶ Coverage ───────────────────────▶ Listening

A chain owns the state of its receiver's channels and nothing else: no thread, no clock, no log.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from heimdall_edge.config import Channel
from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.signal.coverage import Coverage
from heimdall_edge.signal.detect import Detector
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.signal.measure import measure
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.types import (
    Burst,
    IQBlock,
    Listening,
    Observation,
    ReceiverInfo,
    SampleCount,
)


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What one block brought."""

    observations: tuple[Observation, ...] = ()
    listening: tuple[Listening, ...] = ()
    """How far each channel is decided, and how low the receiver could hear on it."""
    refused: tuple[BurstError, ...] = ()
    count: SampleCount = field(default_factory=SampleCount)
    """What became of the receiver's samples."""

    def __add__(self, other: Heard) -> Heard:
        return Heard(
            self.observations + other.observations,
            self.listening + other.listening,
            self.refused + other.refused,
            self.count + other.count,
        )


class Chain(Protocol):
    """The signal path of a receiver, whatever it is tuned to."""

    @property
    def active_channels(self) -> frozenset[str]:
        """Names of the channels that are being computed."""

    @property
    def noise_floor_dbfs(self) -> dict[str, float]:
        """Active channel → tracked noise floor, where there is one yet."""

    def process(self, block: IQBlock) -> Heard:
        """Take the next block; BurstError or SourceDataError where it cannot be used."""

    def flush(self) -> Heard:
        """End what is still open: the samples are over."""

    def tune(self, block: IQBlock) -> None:
        """Build what blocks like this need, and end what was open; SourceDataError if it can't."""

    def limit_to(self, channels: Collection[str], *, with_mel: bool) -> None:
        """From the next block on, compute these channels only, and mel only where wanted."""


class SignalChain:
    """Finds and measures the transmissions that one receiver hears.

    Parameters
    ----------
    receiver
        Who hears: copied into each observation.
    channels
        What to listen for.
    gain_db
        The receiver's fixed gain, where its blocks do not say.
    has_level
        Whether a level compares with other receivers' levels; not where the gain is automatic.
    mel_profile
        The spectrogram that the model wants, from its manifest; ``None`` for none.
    """

    def __init__(
        self,
        *,
        receiver: ReceiverInfo,
        channels: Sequence[Channel],
        gain_db: float | None = None,
        has_level: bool = True,
        mel_profile: MelProfile | None = None,
    ) -> None:
        self._receiver = receiver
        self._channels = tuple(channels)
        self._gain_db = gain_db
        self._has_level = has_level
        self._mel_profile = mel_profile
        self._with_mel = True
        self._wanted = frozenset(channel.name for channel in channels)
        self._front_end: FrontEnd | None = None
        self._ended: list[Burst] = []
        """What a change of tuning ended: comes out with the next block that is taken."""
        self._detectors: dict[float, list[Detector]] = {}
        """By the bandwidth of their channels."""
        self._coverage = Coverage(gain_db=gain_db, has_level=has_level)

    @property
    def active_channels(self) -> frozenset[str]:
        """Names of the channels that are computed from the next block on."""
        return self._wanted

    def limit_to(self, channels: Collection[str], *, with_mel: bool) -> None:
        """From the next block on, compute these channels only, and mel only where wanted.

        What is open on the others ends, and nothing is claimed of them, until they are wanted
        again: they then begin as after a gap. May be called from any thread.
        """
        self._wanted = frozenset(c.name for c in self._channels if c.name in channels)
        self._with_mel = with_mel

    def process(self, block: IQBlock) -> Heard:
        """Take the next block.

        Raises
        ------
        BurstError
            The block's samples cannot be used; the next one is taken as after a gap.
        SourceDataError
            A channel lies outside the band that the receiver is tuned to.
        """
        if self._front_end is None or not self._front_end.accepts(block):
            self.tune(block)
        assert self._front_end is not None
        self._front_end.limit_to(self._wanted)
        channel_blocks = self._front_end.process(block)
        bursts, self._ended = self._ended, []
        listening: list[Listening] = []
        for channel_block in channel_blocks:
            for detector in self._detectors[channel_block.bandwidth_hz]:
                bursts += detector.process(channel_block)
                listening += self._coverage.extend(detector.heeds, block, self._receiver)
        heard = self._measured(bursts)
        return replace(heard, listening=tuple(listening), count=channel_blocks[0].count)

    def flush(self) -> Heard:
        """End what is still open: the samples are over."""
        self._end()
        bursts, self._ended = self._ended, []
        return self._measured(bursts)

    @property
    def noise_floor_dbfs(self) -> dict[str, float]:
        """Active channel → tracked noise floor, where there is one yet."""
        floors = [d.noise_floor_dbfs for some in self._detectors.values() for d in some]
        return {c: floor for known in floors for c, floor in known.items() if c in self._wanted}

    def tune(self, block: IQBlock) -> None:
        """Build the chain for a block's rate, centre and sample format, and end what was open.

        Raises SourceDataError where a channel lies outside the block's band.
        """
        self._end()
        try:
            self._front_end = FrontEnd(
                datatype=block.datatype,
                sample_rate_hz=block.sample_rate_hz,
                center_freq_hz=block.center_freq_hz,
                channels=[channel.spec for channel in self._channels],
                full_scale=block.full_scale,
            )
        except ValueError as error:
            raise SourceDataError(str(error)) from error
        self._detectors = detectors_of(self._channels)

    def _end(self) -> None:
        for some in self._detectors.values():
            for detector in some:
                self._ended += detector.flush()

    def _measured(self, bursts: list[Burst]) -> Heard:
        observations, refused = [], []
        for burst in bursts:
            try:
                observation = measure(
                    burst,
                    receiver=self._receiver,
                    gain_db=self._gain_db,
                    mel=self._mel_profile if self._with_mel else None,
                    snippet=burst.clock.shares_time_base,
                )
            except BurstError as error:
                refused.append(error)
                continue
            observations.append(observation if self._has_level else _without_level(observation))
        return Heard(observations=tuple(observations), refused=tuple(refused))


def _without_level(observation: Observation) -> Observation:
    """What can be said where the gain is automatic, and may have been anything."""
    return replace(observation, level_dbfs=None, level_dbm=None, noise_floor_dbm=None)


def detectors_of(channels: Sequence[Channel]) -> dict[float, list[Detector]]:
    """The detectors that the channels' configuration asks for, by bandwidth."""
    groups: dict[tuple[float, float | None], list[Channel]] = {}
    for channel in channels:
        window_s = channel.window_s if channel.mode == "continuous" else None
        groups.setdefault((channel.bandwidth_hz, window_s), []).append(channel)
    detectors: dict[float, list[Detector]] = {}
    for (bandwidth_hz, _), group in groups.items():
        detectors.setdefault(bandwidth_hz, []).append(Detector(group))
    return detectors
