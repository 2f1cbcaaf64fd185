"""One receiver's whole signal path: block in, observations out.

::

    IQBlock ─▶ FrontEnd ─▶ Detector (one a channel) ─▶ measure ─▶ Observation
                                   └─────────────────────────────▶ Listening

A chain owns the state of its receiver's channels and nothing else: no thread, no clock, no log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from heimdall_edge.config import Channel
from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.signal.detect import Detector
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.signal.measure import measure
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.types import (
    Burst,
    ChannelBlock,
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
    """One a channel: how far it is decided, and how low the receiver could hear."""
    refused: tuple[BurstError, ...] = ()
    count: SampleCount = field(default_factory=SampleCount)
    """What became of the receiver's samples."""


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
        self._front_end: FrontEnd | None = None
        self._detectors: dict[str, Detector] = {}
        self._decided_utc_ns: dict[str, int] = {}

    def process(self, block: IQBlock) -> Heard:
        """Take the next block.

        Raises
        ------
        BurstError
            The block's samples cannot be used; the next one is taken as after a gap.
        SourceDataError
            A channel lies outside the band that the receiver is tuned to.
        """
        bursts: list[Burst] = []
        if self._front_end is None or not self._front_end.accepts(block):
            bursts += self.tune(block)
        assert self._front_end is not None
        receiver = replace(self._receiver, place=block.place) if block.place else self._receiver
        listening: list[Listening] = []
        count = SampleCount()
        for channel_block in self._front_end.process(block):
            if channel_block.channel == self._channels[0].spec:
                count += channel_block.count
            detector = self._detectors[channel_block.channel.name]
            bursts += detector.process(channel_block)
            listening += self._listened(detector, channel_block, receiver)
        return replace(self._measured(bursts), listening=tuple(listening), count=count)

    def flush(self) -> Heard:
        """End what is still open: the samples are over."""
        return self._measured([b for d in self._detectors.values() for b in d.flush()])

    @property
    def noise_floor_dbfs(self) -> dict[str, float]:
        """Channel name → tracked noise floor, where there is one yet."""
        floors = {name: d.noise_floor_dbfs for name, d in self._detectors.items()}
        return {name: floor for name, floor in floors.items() if floor is not None}

    def tune(self, block: IQBlock) -> list[Burst]:
        """Build the chain for a block's rate, centre and sample format, and end what was open.

        Raises SourceDataError where a channel lies outside the block's band.
        """
        ended = [b for d in self._detectors.values() for b in d.flush()]
        try:
            self._front_end = FrontEnd(
                datatype=block.datatype,
                sample_rate_hz=block.sample_rate_hz,
                center_freq_hz=block.center_freq_hz,
                channels=[channel.spec for channel in self._channels],
            )
        except ValueError as error:
            raise SourceDataError(str(error)) from error
        self._detectors = {channel.name: detector_of(channel) for channel in self._channels}
        return ended

    def _listened(
        self, detector: Detector, block: ChannelBlock, receiver: ReceiverInfo
    ) -> Iterator[Listening]:
        """That the channel is decided up to an instant, if that instant moved on."""
        name = block.channel.name
        since_utc_ns, until_utc_ns = detector.listening_since_ns, detector.listened_until_ns
        limit_dbfs = detector.limit_dbfs
        if since_utc_ns is None or until_utc_ns is None or limit_dbfs is None:
            return
        from_utc_ns = max(since_utc_ns, self._decided_utc_ns.get(name, since_utc_ns))
        if until_utc_ns > from_utc_ns:
            self._decided_utc_ns[name] = until_utc_ns
            yield Listening(
                receiver=receiver,
                start_utc_ns=from_utc_ns,
                end_utc_ns=until_utc_ns,
                limit_dbfs={name: limit_dbfs if self._has_level else math.inf},
                gain_db=self._gain_db if block.gain_db is None else block.gain_db,
            )

    def _measured(self, bursts: list[Burst]) -> Heard:
        observations, refused = [], []
        for burst in bursts:
            try:
                observation = measure(
                    burst,
                    receiver=self._receiver,
                    gain_db=self._gain_db,
                    mel=self._mel_profile,
                    snippet=burst.clock.shares_time_base,
                )
            except BurstError as error:
                refused.append(error)
                continue
            if not self._has_level:
                observation = replace(observation, level_dbfs=None)
            observations.append(observation)
        return Heard(observations=tuple(observations), refused=tuple(refused))


def detector_of(channel: Channel) -> Detector:
    """The detector that a channel's configuration asks for."""
    return Detector(
        channel=channel.spec,
        mode=channel.mode,
        open_db=channel.open_db,
        close_db=channel.close_db,
        hang_s=channel.hang_s,
        min_duration_s=channel.min_duration_s,
        max_duration_s=channel.max_duration_s,
        window_s=channel.window_s,
    )
