"""The signal path of a receiver that hops over several centres: a chain for each of them.

::

    IQBlock ─▶ by its centre ─▶ SignalChain of that centre ─▶ Observation, Listening

A chain hears of its own visits only, so nothing is claimed for the time away; noise floors wait in
it for the next one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from heimdall_edge.config import Channel
from heimdall_edge.errors import SourceDataError
from heimdall_edge.signal.chain import Heard, SignalChain
from heimdall_edge.signal.channel_plan import lies_within
from heimdall_edge.signal.frontend import RATE_WANDER
from heimdall_edge.signal.mel import MelProfile
from heimdall_edge.types import IQBlock, ReceiverInfo

SAME_CENTER_HZ = 0.5
"""A device may round what it is tuned to."""


class ScanChain:
    """Finds and measures what a receiver hears that is tuned to one centre after the other.

    Parameters
    ----------
    receiver, gain_db, has_level, mel_profile
        As for :class:`SignalChain`.
    channels
        What to listen for; each at every centre whose band holds it.
    centers_hz
        What the receiver may be tuned to.
    """

    def __init__(
        self,
        *,
        receiver: ReceiverInfo,
        channels: Sequence[Channel],
        centers_hz: Sequence[float],
        gain_db: float | None = None,
        has_level: bool = True,
        mel_profile: MelProfile | None = None,
    ) -> None:
        self._receiver = receiver
        self._channels = tuple(channels)
        self._centers_hz = tuple(centers_hz)
        self._gain_db = gain_db
        self._has_level = has_level
        self._mel_profile = mel_profile
        self._wanted = frozenset(channel.name for channel in channels)
        self._with_mel = True
        self._sample_rate_hz = math.nan
        self._chains: dict[float, SignalChain] = {}
        """By their centre, Hz."""
        self._visited: SignalChain | None = None
        self._owed = Heard()
        """What a hop ended: comes out with the next block that is taken."""

    @property
    def active_channels(self) -> frozenset[str]:
        """Names of the channels that are computed, each at its centres, from the next block on."""
        return self._wanted

    @property
    def noise_floor_dbfs(self) -> dict[str, float]:
        """Active channel → tracked noise floor, as heard here or else on an earlier visit."""
        chains = [*self._chains.values(), *([self._visited] if self._visited else [])]
        return {name: dbfs for chain in chains for name, dbfs in chain.noise_floor_dbfs.items()}

    def limit_to(self, channels: Collection[str], *, with_mel: bool) -> None:
        """From the next block on, compute these channels only, and mel only where wanted.

        See :meth:`SignalChain.limit_to`.
        """
        self._wanted = frozenset(c.name for c in self._channels if c.name in channels)
        self._with_mel = with_mel
        for chain in self._chains.values():
            chain.limit_to(self._wanted, with_mel=with_mel)

    def process(self, block: IQBlock) -> Heard:
        """Take the next block; a hop ends what was open, as a gap does.

        Raises
        ------
        BurstError
            The block's samples cannot be used; the next one is taken as after a gap.
        SourceDataError
            Its centre is none of those that were told, or its band holds none of the channels.
        """
        if not math.isclose(block.sample_rate_hz, self._sample_rate_hz, rel_tol=RATE_WANDER):
            self.tune(block)
        chain = self._chain_at(block.center_freq_hz)
        if chain is not self._visited:
            self._leave()
            self._visited = chain
        heard = chain.process(block)
        owed, self._owed = self._owed, Heard()
        return owed + heard

    def flush(self) -> Heard:
        """End what is still open: the samples are over."""
        self._leave()
        owed, self._owed = self._owed, Heard()
        return owed

    def tune(self, block: IQBlock) -> None:
        """Build a chain for each centre, at a block's rate, and end what was open.

        Raises SourceDataError where a channel lies in no centre's band, or a band holds no channel.
        """
        self._check_bands(block.sample_rate_hz)
        self._leave()
        self._visited = None
        self._sample_rate_hz = block.sample_rate_hz
        self._chains = {
            center_hz: SignalChain(
                receiver=self._receiver,
                channels=self._heard_at(center_hz, block.sample_rate_hz),
                gain_db=self._gain_db,
                has_level=self._has_level,
                mel_profile=self._mel_profile,
            )
            for center_hz in self._centers_hz
        }
        self.limit_to(self._wanted, with_mel=self._with_mel)

    def _check_bands(self, sample_rate_hz: float) -> None:
        reached: set[str] = set()
        for center_hz in self._centers_hz:
            names = {channel.name for channel in self._heard_at(center_hz, sample_rate_hz)}
            if not names:
                raise SourceDataError(
                    f"scan: no channel lies within the band round {center_hz:.0f} Hz at "
                    f"{sample_rate_hz:.0f} samples a second; expected at least one at each centre"
                )
            reached |= names
        for channel in self._channels:
            if channel.name not in reached:
                raise SourceDataError(
                    f"scan: channel {channel.name!r} ({channel.frequency_hz:.0f} Hz) lies in no "
                    f"centre's band at {sample_rate_hz:.0f} samples a second"
                )

    def _heard_at(self, center_hz: float, sample_rate_hz: float) -> list[Channel]:
        return [
            channel
            for channel in self._channels
            if lies_within(channel.spec, sample_rate_hz=sample_rate_hz, center_freq_hz=center_hz)
        ]

    def _chain_at(self, center_hz: float) -> SignalChain:
        for known_hz, chain in self._chains.items():
            if abs(known_hz - center_hz) <= SAME_CENTER_HZ:
                return chain
        expected = ", ".join(f"{known_hz:.0f}" for known_hz in self._centers_hz)
        raise SourceDataError(
            f"scan: a block round {center_hz:.0f} Hz; expected one of the centres {expected} Hz"
        )

    def _leave(self) -> None:
        if self._visited is not None:
            self._owed += self._visited.flush()
